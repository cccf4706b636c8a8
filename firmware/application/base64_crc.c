#include "base64_crc.h"

static const char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint32_t base64_crc_encode(const uint8_t *bytes, uint32_t count, char *text) {
  char *at = text;
  for (uint32_t done = 0; done < count; done += 3) {
    const uint32_t left = count - done;
    const uint32_t group = (uint32_t)bytes[done] << 16 | (left > 1 ? (uint32_t)bytes[done + 1] << 8 : 0) |
                           (left > 2 ? bytes[done + 2] : 0u);
    *at++ = kAlphabet[group >> 18];
    *at++ = kAlphabet[group >> 12 & 63];
    *at++ = left > 1 ? kAlphabet[group >> 6 & 63] : '=';
    *at++ = left > 2 ? kAlphabet[group & 63] : '=';
  }
  return (uint32_t)(at - text);
}

static int32_t sextet(char letter) {
  if (letter >= 'A' && letter <= 'Z') {
    return letter - 'A';
  }
  if (letter >= 'a' && letter <= 'z') {
    return letter - 'a' + 26;
  }
  if (letter >= '0' && letter <= '9') {
    return letter - '0' + 52;
  }
  return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

bool base64_crc_decode(const char *text, uint8_t *bytes, uint32_t count) {
  uint32_t done = 0;
  while (done < count) {
    const uint32_t wanted = count - done < 3 ? count - done : 3;
    uint32_t group = 0;
    for (uint32_t place = 0; place < 4; place++, text++) {
      const int32_t bits = place <= wanted ? sextet(*text) : (*text == '=' ? 0 : -1);
      if (bits < 0) {
        return false;
      }
      group = group << 6 | (uint32_t)bits;
    }
    for (uint32_t place = 0; place < wanted; place++) {
      bytes[done++] = (uint8_t)(group >> (16 - 8 * place));
    }
    if (wanted < 3 && (group & (wanted == 1 ? 0xFFFFu : 0xFFu)) != 0) {
      return false; /* reject a second encoding of the same bytes */
    }
  }
  return *text == '\0';
}

uint32_t base64_crc_update_crc(uint32_t crc, const uint8_t *bytes, uint32_t count) {
  static const uint32_t table[16] = {
      0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
      0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
  };
  crc = ~crc;
  for (uint32_t at = 0; at < count; at++) {
    crc = table[(crc ^ bytes[at]) & 15] ^ crc >> 4;
    crc = table[(crc ^ (uint32_t)bytes[at] >> 4) & 15] ^ crc >> 4;
  }
  return ~crc;
}

bool base64_crc_parse_crc(const char *text, uint32_t *number) {
  *number = 0;
  for (int32_t place = 0; place < 8; place++, text++) {
    const bool digit = *text >= '0' && *text <= '9';
    if (!digit && !(*text >= 'a' && *text <= 'f')) {
      return false;
    }
    *number = *number << 4 | (uint32_t)(digit ? *text - '0' : *text - 'a' + 10);
  }
  return *text == '\0';
}
