/* A kernel that panics when it is given the right word, which stands for a bug in a driver; and a program that crashes at another one. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t word;

    if (size < sizeof(word))
        return 0;
    memcpy(&word, data, sizeof(word));
    if (word == 0x63697261) {
        int trigger = open("/proc/sysrq-trigger", O_WRONLY);

        if (write(trigger, "c", 1) != 1)
            return 0;
    }
    if (word == 0x74726f62)
        abort();
    return 0;
}
