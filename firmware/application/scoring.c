#include "scoring.h"

#include "board.h"

void scoring_begin(scoring *self) {
  quality_begin(&self->quality);
  self->begun_us = board_us();
  self->network_us = self->row_us = 0;
  self->rows = 0;
}

void scoring_take_row(scoring *self, const uint8_t *row) {
  const int32_t index = preprocess_row(&self->preprocess, self->rows, row, self->network_row);
  if (index >= 0) {
    quality_add_row(&self->quality, index, self->network_row);
    const uint32_t before = board_us();
    classifier_take_row(index, self->network_row);
    const uint32_t row_us = board_us() - before;
    self->network_us += row_us;
    self->row_us = row_us > self->row_us ? row_us : self->row_us;
  }
  self->rows++;
}

const scoring_result *scoring_finish(scoring *self) {
  scoring_result *result = &self->result;
  result->quality = quality_finish(&self->quality);
  result->verdict = quality_judge(&result->quality);
  if (result->verdict == QUALITY_GOOD) {
    const uint32_t before = board_us();
    classifier_finish(result->scores);
    self->network_us += board_us() - before;
  }
  return result;
}
