/*
 * unwind_throw.cc - allocations across C++ exceptions: while one is thrown,
 * in the destructors that it runs, and in the handlers.  Run under the oracle.
 */
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

struct holder {
	std::string text;
	explicit holder(int n) : text(static_cast<size_t>(n % 40 + 20), 'x') {}
	~holder() { std::free(std::malloc(text.size())); }
};

__attribute__((noinline)) static int thrower(int depth, int n)
{
	holder h(n);
	if (depth == 0) {
		if (n % 3 == 0)
			throw std::runtime_error(h.text);
		throw n;
	}
	int r = thrower(depth - 1, n) + static_cast<int>(h.text.size());
	return r;
}

__attribute__((noinline)) static int middle(int depth, int n)
{
	try {
		return thrower(depth, n);
	} catch (int &caught) {
		std::vector<int> v(static_cast<size_t>(caught % 50 + 1));
		if (n % 5 == 0)
			throw;
		return v.back();
	}
}

int main()
{
	int sum = 0;
	for (int i = 0; i < 3000; i++) {
		try {
			sum += middle(i % 12, i);
		} catch (const std::exception &e) {
			sum += static_cast<int>(std::string(e.what()).size());
		} catch (int again) {
			sum += again;
		}
	}
	return sum == 0;
}
