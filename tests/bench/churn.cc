/*
 * churn.cc - a C++ program of maps and strings, as many are: nodes come and
 * go, strings grow and are copied.  One argument: rounds.
 */
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10;
	std::size_t sum = 0;

	for (int r = 0; r < rounds; r++) {
		std::map<std::string, std::vector<std::string>> m;
		for (int i = 0; i < 20000; i++) {
			std::string key = "a key that does not fit inside " + std::to_string((i * 7919) % 5000);
			m[key].push_back(key + std::to_string(r));
			if (i % 3 == 0)
				m.erase("a key that does not fit inside " + std::to_string(i % 5000));
		}
		for (auto &p : m)
			sum += p.second.size();
	}
	std::printf("%zu\n", sum);
	return 0;
}
