// symbols_program.cc - a program whose addresses test_resolve.c looks up: it
// prints "NAME ADDRESS" (address in the file) of the marks inside it.  Built
// several ways: with debug information, stripped with a debug link, C++ names,
// inlined functions.
#include <cstdint>
#include <cstdio>
#include <link.h>

static uintptr_t bias;
static int find_bias(struct dl_phdr_info *info, size_t, void *)
{
	bias = info->dlpi_addr;
	return 1; /* the executable comes first */
}

static void print(const char *name, uintptr_t pc)
{
	std::printf("%s 0x%lx\n", name, (unsigned long)(pc - bias));
}

__attribute__((noinline)) static uintptr_t here() { return (uintptr_t)__builtin_return_address(0); }

namespace shop {
struct Shelf {
	__attribute__((always_inline)) inline uintptr_t innermost() { uintptr_t pc = here(); asm volatile("" ::: "memory"); return pc; } // line 25
	__attribute__((always_inline)) inline uintptr_t middle() { uintptr_t pc = innermost(); asm volatile("" ::: "memory"); return pc; }
	__attribute__((noinline)) uintptr_t outer(int n);
};
uintptr_t Shelf::outer(int n)
{
	uintptr_t pc = middle(); // line 31
	asm volatile("" : : "r"(n) : "memory");
	return pc;
}
template <typename T> __attribute__((noinline)) uintptr_t weigh(T value)
{
	uintptr_t pc = here(); // line 37
	asm volatile("" : : "r"(value) : "memory");
	return pc;
}
}

extern "C" __attribute__((noinline)) uintptr_t plain_c_name(void)
{
	uintptr_t pc = here(); // line 45
	asm volatile("" ::: "memory");
	return pc;
}

int main()
{
	dl_iterate_phdr(find_bias, nullptr);
	shop::Shelf shelf;
	print("inlined", shelf.outer(3));
	print("template", shop::weigh<long>(5));
	print("plain", plain_c_name());
	return 0;
}
