/* libpng, as Debian has it, reads an image to its end. Checksums do not count: with them, hardly an input that was changed would get anywhere. */
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Larger images only take longer. */
#define SIDE 64

struct source {
    const uint8_t *data;
    size_t left;
};

static void read_bytes(png_structp png, png_bytep to, size_t bytes)
{
    struct source *source = png_get_io_ptr(png);

    if (bytes > source->left)
        png_error(png, "the end");
    memcpy(to, source->data, bytes);
    source->data += bytes;
    source->left -= bytes;
}

static void fail(png_structp png, png_const_charp text)
{
    (void)text;
    longjmp(png_jmpbuf(png), 1);
}

static void warn(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

static void read_image(png_structp png, png_infop info)
{
    png_uint_32 height, y;
    int pass, passes;
    png_bytep row;

    png_read_info(png, info);
    height = png_get_image_height(png, info);
    if (height > SIDE || png_get_image_width(png, info) > SIDE)
        return;
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    /* Whoever is taken back needs to free nothing. */
    row = malloc(png_get_rowbytes(png, info));
    for (pass = 0; row && pass < passes; pass++)
        for (y = 0; y < height; y++)
            png_read_row(png, row, NULL);
    png_read_end(png, info);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = { data, size };
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, fail, warn);
    png_infop info = png_create_info_struct(png);

    if (setjmp(png_jmpbuf(png)) == 0) {
        png_set_read_fn(png, &source, read_bytes);
        png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
        read_image(png, info);
    }
    png_destroy_read_struct(&png, &info, NULL);
    return 0;
}
