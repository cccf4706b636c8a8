/* Int8 values to 16-bit values less their zero point. */
#ifndef NN_WIDEN_H
#define NN_WIDEN_H

#include "nn_arithmetic.h"

/* Neither side needs to be aligned: a Cortex-M4 reads and writes single words anywhere. */
NN_INLINE void nn_widen(const int8_t *in, int16_t *out, int32_t count, int32_t zero) {
  const uint32_t less = (uint32_t)(uint16_t)-zero * 0x10001u;
  for (; count >= 4; count -= 4, in += 4, out += 4) {
    uint32_t word;
    memcpy(&word, in, sizeof word);
    uint32_t even = nn_sxtab16(less, word);
    uint32_t odd = nn_sxtab16_odd(less, word);
    uint32_t low = nn_low_halves(even, odd);
    uint32_t high = nn_high_halves(even, odd);
    memcpy(out, &low, sizeof low);
    memcpy(out + 2, &high, sizeof high);
  }
  for (; count > 0; count--) {
    *out++ = (int16_t)(*in++ - zero);
  }
}

#endif
