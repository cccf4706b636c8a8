/* The seam to the light: a board implements this function. Pins and polarity are the board's business. */
#ifndef INDICATOR_H
#define INDICATOR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lights red, green and blue as told; called only when something changes. */
void indicator_set(bool red, bool green, bool blue);

#ifdef __cplusplus
}
#endif

#endif
