/*
 * A bug behind four bytes and a length: a record, `AVIS`, a length of 32 bits, and so many bytes, whose length is believed. Where it is far
 * too large, the last byte lies where there is no memory.
 */
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t last;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t magic, length;

    if (size < 9)
        return 0;
    magic = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
    if (magic != 0x53495641)
        return 0;
    length = (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 | (uint32_t)data[7] << 24;
    if (length == 0)
        return 0;
#ifdef MENDED
    if (length > size - 8)
        return 0;
#endif
    last = data[8 + (size_t)length - 1];
    return 0;
}
