#include "base64.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>

#include <openssl/evp.h>

void
base64_encode(const void *data, size_t size, char *text)
{
    (void)EVP_EncodeBlock((unsigned char *)text, data, (int)size);
}

static size_t
base64_padding(const char *text, size_t len)
{
    size_t padding = 0;

    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    return padding;
}

static bool
base64_is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static bool
base64_is_text(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!base64_is_letter(text[i]))
            return false;
    }
    return true;
}

/* OpenSSL's decoder takes blanks, too, and counts the padding as bytes. */
ssize_t
base64_decode(const char *text, size_t len, void *ret_data)
{
    const size_t padding = base64_padding(text, len);
    int size;

    if (len % 4 != 0 || len > INT_MAX || !base64_is_text(text, len - padding))
        return -EINVAL;
    size = EVP_DecodeBlock(ret_data, (const unsigned char *)text, (int)len);
    return size < 0 ? -EINVAL : (ssize_t)size - (ssize_t)padding;
}
