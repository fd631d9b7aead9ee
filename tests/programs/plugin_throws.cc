/*
 * plugin_throws.cc - the plugin of plugin_host: strings, exceptions through
 * several frames, and the count of what it caught.
 */
#include <stdexcept>
#include <string>
#include <vector>

static int deep(int n, std::vector<std::string> &keep)
{
	keep.push_back(std::string(40, 'a' + n % 26));
	if (n % 7 == 0)
		throw std::runtime_error(keep.back());
	return deep(n - 1, keep) + 1;
}

extern "C" int plugin_work(int n)
{
	int caught = 0;

	for (int i = 1; i <= n; i++) {
		std::vector<std::string> keep;
		try {
			deep(i, keep);
		} catch (const std::exception &e) {
			caught += e.what()[0] != 0;
		}
	}
	return caught;
}
