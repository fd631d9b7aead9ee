// orders.cpp - the program of docs/page.png: it loads orders, fills a cache
// that forgets nothing, forks a child that changes some of them, and loses the
// text of each tenth.
#include <cstring>
#include <map>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

struct order {
	std::string customer;
	std::vector<double> prices;
	char *note;
};

static std::map<int, order> orders;
static std::vector<char *> &cache = *new std::vector<char *>;

__attribute__((noinline)) static void load_orders(int n)
{
	for (int i = 0; i < n; i++) {
		order &o = orders[i];
		o.customer = "customer number " + std::to_string(i * 7919 % n);
		o.prices.assign(8, i);
		o.note = strdup(o.customer.c_str());
	}
}

__attribute__((noinline)) static void cache_page(size_t size)
{
	char *page = new char[size];
	memset(page, 1, size);
	cache.push_back(page);
}

__attribute__((noinline)) static void fill_cache(int pages)
{
	for (int i = 0; i < pages; i++) {
		cache_page(3000);
		usleep(1000);
	}
}

__attribute__((noinline)) static void forget_notes()
{
	for (auto &entry : orders)
		if (entry.first % 10)
			free(entry.second.note);
}

int main()
{
	load_orders(20000);
	fill_cache(1500);
	if (fork() == 0) {
		for (int i = 0; i < 20000; i += 40)
			orders[i].prices[0] += 1;
		usleep(300000);
		_exit(0);
	}
	for (int i = 0; i < 1000; i++)
		orders[i].prices[1] += 1;
	wait(nullptr);
	forget_notes();
	orders.clear();
	fill_cache(500);
}
