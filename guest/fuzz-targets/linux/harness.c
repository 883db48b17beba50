/*
 * A user program in Linux as a target: the first program of an initramfs, around a harness as libFuzzer has it, LLVMFuzzerTestOneInput().
 *
 * It maps the window by /dev/mem and rings the doorbell for its first input; the fuzzer takes the whole machine back there after each one. What is
 * no RAM to the kernel, /dev/mem maps as Device memory: aligned accesses only, and around the caches, by which the fuzzer sees the same memory.
 * So each line is cleaned and invalidated before it is read, and before and after it is written. Coverage is counted in the program's own
 * memory, and put into the window at the end of a round.
 *
 * With `alone` on the kernel's command line there is no fuzzer: the console gives an input, and a line for each round with it. bench/src/fuzz.rs
 * measures QEMU's own snapshots so.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <ucontext.h>
#include <unistd.h>

#include "avisor_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE 64
#define PAGE 4096
#define NODES "/sys/firmware/devicetree/base/reserved-memory"

static volatile uint8_t *window;
static volatile uint32_t *doorbell;

static uint8_t map[AVISOR_FUZZ_MAP_BYTES] __attribute__((aligned(8)));
static uint8_t counts[AVISOR_FUZZ_SITES] __attribute__((aligned(8)));
static struct avisor_fuzz_comparison comparisons[AVISOR_FUZZ_SITES * AVISOR_FUZZ_KEPT];
static uint8_t input[AVISOR_FUZZ_INPUT_BYTES] __attribute__((aligned(8)));
static uintptr_t previous;
static int wants_comparisons;

/* Cleans and invalidates the line at an offset of the window. */
static void clean(size_t offset)
{
    __asm__ volatile("dsb sy\n\tdc civac, %0\n\tdsb sy" : : "r"(window + offset) : "memory");
}

static uint64_t load(size_t offset)
{
    clean(offset);
    return *(volatile uint64_t *)(window + offset);
}

static void store(size_t offset, uint64_t value)
{
    clean(offset);
    *(volatile uint64_t *)(window + offset) = value;
    clean(offset);
}

/* Puts words into the window, except for zeros, which are there. */
static void put(size_t offset, const void *words, size_t bytes)
{
    size_t at;

    for (at = 0; at < bytes; at += 8) {
        uint64_t word;

        memcpy(&word, (const uint8_t *)words + at, 8);
        if (word != 0)
            store(offset + at, word);
    }
}

static void ring(uint32_t code)
{
    __asm__ volatile("dsb sy" : : : "memory");
    *doorbell = code;
    __asm__ volatile("dsb sy" : : : "memory");
}

static uint64_t now(void)
{
    uint64_t count;

    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(count) : : "memory");
    return count;
}

/* What the round has left: on its way to the end, and to a crash. */
static void put_coverage(void)
{
    put(AVISOR_FUZZ_MAP, map, sizeof(map));
    if (wants_comparisons) {
        put(AVISOR_FUZZ_COUNTS, counts, sizeof(counts));
        put(AVISOR_FUZZ_COMPARISONS, comparisons, sizeof(comparisons));
    }
}

/* The functions that GCC calls for -fsanitize-coverage=trace-pc,trace-cmp, as in guest/src/fuzz/coverage.rs. */

static uintptr_t mixed(uintptr_t pc)
{
    return (pc >> 2) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static uint8_t count_up(uint8_t *byte)
{
    uint8_t before = *byte;

    *byte = before == 255 ? 1 : before + 1;
    return before;
}

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    uintptr_t here = mixed((uintptr_t)__builtin_return_address(0));

    count_up(&map[(here ^ previous) % AVISOR_FUZZ_MAP_BYTES]);
    previous = here >> 1;
}

static void compared(uint64_t a, uint64_t b, uintptr_t pc, uint32_t bytes, uint32_t constant)
{
    size_t site = mixed(pc) % AVISOR_FUZZ_SITES;

    if (wants_comparisons) {
        uint8_t place = count_up(&counts[site]) % AVISOR_FUZZ_KEPT;

        comparisons[site * AVISOR_FUZZ_KEPT + place] = (struct avisor_fuzz_comparison){ a, b, bytes, constant };
    }
}

#define COMPARISON(name, type, bytes, constant)                                                                                \
    void name(type a, type b);                                                                                                 \
    void name(type a, type b) { compared(a, b, (uintptr_t)__builtin_return_address(0), bytes, constant); }
COMPARISON(__sanitizer_cov_trace_cmp1, uint8_t, 1, 0)
COMPARISON(__sanitizer_cov_trace_cmp2, uint16_t, 2, 0)
COMPARISON(__sanitizer_cov_trace_cmp4, uint32_t, 4, 0)
COMPARISON(__sanitizer_cov_trace_cmp8, uint64_t, 8, 0)
COMPARISON(__sanitizer_cov_trace_const_cmp1, uint8_t, 1, 1)
COMPARISON(__sanitizer_cov_trace_const_cmp2, uint16_t, 2, 1)
COMPARISON(__sanitizer_cov_trace_const_cmp4, uint32_t, 4, 1)
COMPARISON(__sanitizer_cov_trace_const_cmp8, uint64_t, 8, 1)

/* Floating-point numbers stand in no input as they are. */
void __sanitizer_cov_trace_cmpf(float a, float b);
void __sanitizer_cov_trace_cmpf(float a, float b) { (void)a, (void)b; }
void __sanitizer_cov_trace_cmpd(double a, double b);
void __sanitizer_cov_trace_cmpd(double a, double b) { (void)a, (void)b; }

void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases);
void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases)
{
    uintptr_t pc = (uintptr_t)__builtin_return_address(0);
    uint64_t index;

    for (index = 0; index < cases[0]; index++)
        compared(cases[2 + index], value, pc + 4 * index, (uint32_t)(cases[1] + 7) / 8, 1);
}

/* This process's memory as a file: an address that is none is an error there, and no second signal. */
static int own_memory = -1;

/* Fills in who called: frame records, of which each has the address of the one before, and where that goes on (AAPCS64, "The Frame Pointer"). */
static void find_calls(struct avisor_fuzz_crash *crash)
{
    uint64_t frame = crash->x[29], record[2];
    int is_first = 1;

    crash->calls[0] = crash->x[30];
    crash->depth = 1;
    while (crash->depth < sizeof(crash->calls) / sizeof(crash->calls[0]) &&
           pread(own_memory, record, sizeof(record), (off_t)frame) == sizeof(record) && record[1] != 0) {
        /* A function that has called nobody yet has no record: the first one is its caller's then. */
        if (!is_first || record[1] != crash->calls[0])
            crash->calls[crash->depth++] = record[1];
        is_first = 0;
        /* The stack grows down. */
        if (record[0] <= frame)
            break;
        frame = record[0];
    }
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    static struct avisor_fuzz_crash crash;
    const mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    int length;

    memcpy(crash.x, machine->regs, sizeof(crash.x));
    crash.sp = machine->sp;
    crash.pc = machine->pc;
    crash.pstate = machine->pstate;
    crash.far = (uintptr_t)info->si_addr;
    find_calls(&crash);
    length = snprintf((char *)crash.message, sizeof(crash.message), "signal %d at address %p", number, info->si_addr);
    crash.message_bytes = (uint64_t)length;
    /* What an earlier crash left there is not zero. */
    for (size_t at = 0; at < sizeof(crash); at += 8) {
        uint64_t word;

        memcpy(&word, (uint8_t *)&crash + at, 8);
        store(offsetof(struct avisor_fuzz_header, crash) + at, word);
    }
    put_coverage();
    ring(AVISOR_FUZZ_CRASH);
    _exit(1);
}

static void die(const char *what)
{
    perror(what);
    /* The first program's end is a panic, and with panic=-1 a reset. */
    exit(1);
}

/* Address and bytes of the window, with its doorbell, a page, at its end. */
static void find(uint64_t *address, uint64_t *bytes)
{
    DIR *folder = opendir(NODES);
    struct dirent *entry;

    while (folder && (entry = readdir(folder))) {
        char path[sizeof(NODES) + sizeof(entry->d_name) + 8];
        uint8_t reg[16];
        FILE *file;
        int index;

        /* fuzz@..., or that of one of several fuzzers: fuzz-1@... */
        if (strncmp(entry->d_name, "fuzz", 4) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s/reg", NODES, entry->d_name);
        file = fopen(path, "r");
        if (!file || fread(reg, 1, sizeof(reg), file) != sizeof(reg))
            die(path);
        fclose(file);
        for (*address = *bytes = 0, index = 0; index < 8; index++) {
            *address = *address << 8 | reg[index];
            *bytes = *bytes << 8 | reg[8 + index];
        }
        closedir(folder);
        return;
    }
    die(NODES " has no window");
}

/* Without a fuzzer. The input is a line of hexadecimal digits. */
static void alone(void)
{
    char line[4096];
    size_t bytes = 0;

    puts("fuzz: input");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        unsigned int byte;

        if (bytes == 0) {
            while (sscanf(line + 2 * bytes, "%2x", &byte) == 1)
                input[bytes++] = (uint8_t)byte;
            puts("fuzz: ready");
        } else {
            previous = 0;
            LLVMFuzzerTestOneInput(input, bytes);
            puts("fuzz: done");
        }
        fflush(stdout);
    }
    exit(1);
}

static void start(void)
{
    static uint8_t stack[1 << 16];
    const stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
    const struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP };
    uint64_t address, bytes;
    int memory;
    size_t index;

    if (mount("sysfs", "/sys", "sysfs", 0, NULL) != 0 || mount("proc", "/proc", "proc", 0, NULL) != 0)
        die("/sys, /proc");
    if (getenv("alone")) {
        mlockall(MCL_CURRENT | MCL_FUTURE);
        alone();
    }
    find(&address, &bytes);
    memory = open("/dev/mem", O_RDWR | O_SYNC);
    if (memory < 0)
        die("/dev/mem");
    window = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, (off_t)address);
    if (window == MAP_FAILED)
        die("the window");
    doorbell = (volatile uint32_t *)(window + bytes - PAGE);
    own_memory = open("/proc/self/mem", O_RDONLY);
    sigaltstack(&other, NULL);
    for (index = 0; index < sizeof(signals) / sizeof(signals[0]); index++)
        sigaction(signals[index], &action, NULL);
    /* Pages that are there already cost a round no fault. */
    mlockall(MCL_CURRENT | MCL_FUTURE);
}

int main(void)
{
    start();
    store(offsetof(struct avisor_fuzz_header, magic), AVISOR_FUZZ_MAGIC);
    for (;;) {
        uint64_t sizes, wishes;
        size_t bytes, at;

        /* map_bytes and input_bytes are one word. */
        store(offsetof(struct avisor_fuzz_header, map_bytes), AVISOR_FUZZ_MAP_BYTES);
        ring(AVISOR_FUZZ_READY);
        store(offsetof(struct avisor_fuzz_header, began), now());
        sizes = load(offsetof(struct avisor_fuzz_header, map_bytes));
        wishes = load(offsetof(struct avisor_fuzz_header, wants_comparisons));
        bytes = sizes >> 32;
        if (bytes > sizeof(input))
            bytes = sizeof(input);
        for (at = 0; at < bytes; at += 8) {
            if (at % LINE == 0)
                clean(AVISOR_FUZZ_INPUT + at);
            *(uint64_t *)(input + at) = *(volatile uint64_t *)(window + AVISOR_FUZZ_INPUT + at);
        }
        wants_comparisons = (uint32_t)wishes != 0;
        previous = 0;
        LLVMFuzzerTestOneInput(input, bytes);
        put_coverage();
        store(offsetof(struct avisor_fuzz_header, ended), now());
        ring(AVISOR_FUZZ_DONE);
    }
}
