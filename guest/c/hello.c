/*
 * A guest in C: a snapshot, a change, and back. It needs this file and include/avisor.h. Build it in this folder's parent, guest/:
 *
 *   aarch64-linux-gnu-gcc -std=c99 -O2 -Wall -Wextra -ffreestanding -nostdlib -static -fno-pie -no-pie \
 *       -mgeneral-regs-only -mstrict-align -Wl,--build-id=none -Wl,-zmax-page-size=4096 -Wl,-Ttext-segment=0x40080000 \
 *       -DAVISOR_START -Iinclude c/hello.c -o hello.elf
 *
 * -mgeneral-regs-only and -mstrict-align, because without an MMU memory is Device memory, where SIMD registers (which
 * are switched off, besides) and unaligned accesses fault. c/start.S has another way to start, for programs that want to know where
 * their image ends.
 */
#include <avisor.h>

#define UART_DR (*(volatile uint32_t *)0x09000000)
#define UART_FR (*(volatile uint32_t *)0x09000018)
#define UART_FR_TXFF (1u << 5)

static void print(const char *text)
{
    for (; *text; text++) {
        while (UART_FR & UART_FR_TXFF)
            ;
        UART_DR = (unsigned char)*text;
    }
}

static void print_number(int64_t number)
{
    char digits[21];
    char *p = digits + sizeof digits - 1;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;

    *p = 0;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0)
        *--p = '-';
    print(p);
}

static void print_with_number(const char *text, int64_t number)
{
    print(text);
    print_number(number);
    print("\n");
}

static volatile int counter = 1;

int main(void)
{
    uint64_t value;
    int64_t id;

    print("Hello from C\n");
    /* Returns once for the checkpoint, and once more for the restore below. */
    id = avisor_checkpoint(&value);
    if (id < 0) {
        print_with_number("no checkpoint: error ", id);
    } else if (value == 0) {
        print_with_number("took snapshot ", id);
        counter = 2;
        print_with_number("  counter changed to ", counter);
        id = avisor_restore(id, 42);
        print_with_number("no way back: error ", id);
    } else {
        print_with_number("back at snapshot ", id);
        print_with_number("  counter is again ", counter);
        print_with_number("  the restorer passed ", (int64_t)value);
    }
    return 0;
}
