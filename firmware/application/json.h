/* Writes one line of JSON into a buffer: an object whose keys are words without escapes. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>

enum { JSON_LINE_BYTES = 1024 };

typedef struct {
  uint32_t length; /* over JSON_LINE_BYTES: it did not fit */
  bool first;
  char text[JSON_LINE_BYTES];
} json;

/* Begins with `{"type":"…"`; json_end closes it with `}` and a newline. */
void json_begin(json *self, const char *type);
void json_end(json *self);

/* Adds a key and what follows it. Texts are UTF-8 and come out as ASCII. */
void json_string(json *self, const char *key, const char *value);
void json_number(json *self, const char *key, int64_t value);
void json_bool(json *self, const char *key, bool value);

/* Adds numerator / denominator with four digits after the point, rounded half up; numerator is not negative. */
void json_fraction(json *self, const char *key, int64_t numerator, int64_t denominator);

/* Opens an object or a list under a key ('{' or '['), and closes it ('}' or ']'). In a list keys are NULL. */
void json_open(json *self, const char *key, char bracket);
void json_close(json *self, char bracket);

/* Adds a key and the base64 text of bytes. */
void json_base64(json *self, const char *key, const uint8_t *bytes, uint32_t count);

/* Adds a key and eight hexadecimal digits, as a text. */
void json_hex(json *self, const char *key, uint32_t value);

#endif
