/* The interface to the light. Each board implements this function for its pins and their polarity. */
#ifndef INDICATOR_H
#define INDICATOR_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Switches the three colors on or off. Called on a change only. */
void indicator_set(bool red, bool green, bool blue);

#ifdef __cplusplus
}
#endif

#endif
