/* Base64 (RFC 4648) and CRC-32 (the polynomial of zip and PNG). */
#ifndef BASE64_CRC_H
#define BASE64_CRC_H

#include <stdbool.h>
#include <stdint.h>

/* Encodes `count` bytes without a terminating zero and returns the number of characters: 4 for every 3 bytes, rounded
 * up. */
uint32_t base64_crc_encode(const uint8_t *bytes, uint32_t count, char *text);

/* Decodes the whole text. Returns false if it is not the base64 encoding of exactly `count` bytes. */
bool base64_crc_decode(const char *text, uint8_t *bytes, uint32_t count);

/* Returns the CRC extended by `count` bytes. Start with 0. */
uint32_t base64_crc_update_crc(uint32_t crc, const uint8_t *bytes, uint32_t count);

/* Parses exactly eight lower-case hexadecimal digits. Returns false for any other text. */
bool base64_crc_parse_crc(const char *text, uint32_t *number);

#endif
