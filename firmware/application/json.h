/* Writes one line of JSON, an object, into a buffer. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

enum { JSON_LINE_BYTES = 1024 };

typedef struct {
  uint32_t length; /* above JSON_LINE_BYTES: the line did not fit */
  bool first;
  char text[JSON_LINE_BYTES];
} json;

/* Begins the object with `{"type":"…"`; json_end adds `}` and a newline. */
void json_begin(json *self, const char *type);
void json_end(json *self);

/* Add a key and its value. Texts are UTF-8 and are written as ASCII with \u escapes. */
void json_string(json *self, const char *key, const char *value);
void json_number(json *self, const char *key, int64_t value);
void json_bool(json *self, const char *key, bool value);

/* Adds numerator / denominator with four decimals, rounded half up. The numerator must not be negative. */
void json_fraction(json *self, const char *key, int64_t numerator, int64_t denominator);

/* Open an object ('{') or a list ('[') under a key, and close it ('}' or ']'). Values in a list have the key NULL. */
void json_open(json *self, const char *key, char bracket);
void json_close(json *self, char bracket);

/* Adds bytes as base64 text. */
void json_base64(json *self, const char *key, const uint8_t *bytes, uint32_t count);

/* Adds a value as text of eight hexadecimal digits. */
void json_hex(json *self, const char *key, uint32_t value);

#endif
