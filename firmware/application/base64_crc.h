/* Base64 (RFC 4648) and CRC-32 (as in zip and PNG). */
#ifndef BASE64_CRC_H
#define BASE64_CRC_H

#include <stdbool.h>
#include <stdint.h>

/* Writes the text of `count` bytes, 4 characters for each 3 begun, and no terminator; returns how many characters. */
uint32_t base64_crc_encode(const uint8_t *bytes, uint32_t count, char *text);

/* Reads exactly `count` bytes from a text that ends with it; false where it is not base64 of just so many. */
bool base64_crc_decode(const char *text, uint8_t *bytes, uint32_t count);

/* Continues a CRC over more bytes; the first call gets 0. */
uint32_t base64_crc_update_crc(uint32_t crc, const uint8_t *bytes, uint32_t count);

/* Reads eight hexadecimal digits, lower case, and nothing after them. */
bool base64_crc_parse_crc(const char *text, uint32_t *number);

#endif
