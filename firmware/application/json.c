#include "json.h"

#include "base64_crc.h"

static const char kDigits[] = "0123456789abcdef";

static void put(json *self, char letter) {
  if (self->length < JSON_LINE_BYTES) {
    self->text[self->length] = letter;
  }
  self->length++;
}

static void put_all(json *self, const char *text) {
  while (*text != '\0') {
    put(self, *text++);
  }
}

static void put_digits(json *self, uint32_t value, int32_t digits) {
  while (digits-- > 0) {
    put(self, kDigits[value >> 4 * digits & 15]);
  }
}

static void put_unit(json *self, uint32_t unit) {
  put_all(self, "\\u");
  put_digits(self, unit, 4);
}

/* Returns the code point at `*text` and advances past it. Invalid UTF-8 gives U+FFFD. */
static uint32_t next_point(const char **text) {
  const uint8_t lead = (uint8_t) * (*text)++;
  if (lead < 0x80) {
    return lead;
  }
  const int32_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  uint32_t point = lead & (0x3Fu >> more);
  for (int32_t place = 0; place < more; place++) {
    const uint8_t byte = (uint8_t) * *text;
    if ((byte & 0xC0) != 0x80) {
      return 0xFFFD;
    }
    point = point << 6 | (byte & 0x3Fu);
    (*text)++;
  }
  return lead < 0xC2 ? 0xFFFD : point;
}

static void put_quoted(json *self, const char *text) {
  put(self, '"');
  while (*text != '\0') {
    const uint32_t point = next_point(&text);
    if (point >= 0x10000) {
      put_unit(self, 0xD800 + ((point - 0x10000) >> 10));
      put_unit(self, 0xDC00 + (point & 0x3FF));
    } else if (point < 0x20 || point >= 0x7F || point == '"' || point == '\\') {
      put_unit(self, point);
    } else {
      put(self, (char)point);
    }
  }
  put(self, '"');
}

static void put_key(json *self, const char *key) {
  if (!self->first) {
    put(self, ',');
  }
  self->first = false;
  if (key != 0) {
    put_quoted(self, key);
    put(self, ':');
  }
}

static void put_number(json *self, uint64_t value) {
  char digits[20];
  int32_t count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) {
    put(self, digits[--count]);
  }
}

void json_begin(json *self, const char *type) {
  self->length = 0;
  self->first = true;
  put(self, '{');
  json_string(self, "type", type);
}

void json_end(json *self) {
  put(self, '}');
  put(self, '\n');
}

void json_string(json *self, const char *key, const char *value) {
  put_key(self, key);
  put_quoted(self, value);
}

void json_number(json *self, const char *key, int64_t value) {
  put_key(self, key);
  if (value < 0) {
    put(self, '-');
  }
  put_number(self, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_bool(json *self, const char *key, bool value) {
  put_key(self, key);
  put_all(self, value ? "true" : "false");
}

void json_fraction(json *self, const char *key, int64_t numerator, int64_t denominator) {
  const uint64_t parts = (uint64_t)((numerator * 20000 + denominator) / (2 * denominator));
  put_key(self, key);
  put_number(self, parts / 10000);
  put(self, '.');
  for (uint32_t unit = 1000; unit > 0; unit /= 10) {
    put(self, (char)('0' + parts / unit % 10));
  }
}

void json_open(json *self, const char *key, char bracket) {
  put_key(self, key);
  put(self, bracket);
  self->first = true;
}

void json_close(json *self, char bracket) {
  put(self, bracket);
  self->first = false;
}

void json_base64(json *self, const char *key, const uint8_t *bytes, uint32_t count) {
  put_key(self, key);
  put(self, '"');
  if (self->length + 4 * ((count + 2) / 3) <= JSON_LINE_BYTES) {
    self->length += base64_crc_encode(bytes, count, self->text + self->length);
  } else {
    self->length = JSON_LINE_BYTES + 1;
  }
  put(self, '"');
}

void json_hex(json *self, const char *key, uint32_t value) {
  put_key(self, key);
  put(self, '"');
  put_digits(self, value, 8);
  put(self, '"');
}
