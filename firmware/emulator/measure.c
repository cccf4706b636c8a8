/* Runs a model over the images in in.bin, writes scores and logits to out.bin, and prints the instructions per image,
 * the stack and the arena. */
#include "emulator.h"
#include "model.h"

static int8_t arena[MODEL_ARENA_BYTES] __attribute__((aligned(8)));
static int8_t row[MODEL_WIDTH * MODEL_CHANNELS] __attribute__((aligned(4)));

static uint64_t counted, heaviest;

static void take_row(int32_t index) {
  const uint64_t before = emulator_count();
  model_take_row(arena, index, row);
  const uint64_t took = emulator_count() - before;
  counted += took;
  heaviest = took > heaviest ? took : heaviest;
}

static const int8_t *finish(void) {
  const uint64_t before = emulator_count();
  const int8_t *scores = model_finish(arena);
  counted += emulator_count() - before;
  return scores;
}

static void print(const char *name, uint32_t number) {
  emulator_print(name);
  emulator_print(" ");
  emulator_print_number(number);
  emulator_print("\n");
}

int main(void) {
  const int in = emulator_open("in.bin");
  if (in < 0) {
    emulator_print("cannot read in.bin\n");
    return 1;
  }
  emulator_start_counting();
  uint32_t images = 0;
  for (;; images++) {
    for (int32_t index = 0; index < MODEL_HEIGHT; index++) {
      if (emulator_read(in, row, sizeof row) != sizeof row) {
        print("images", images);
        print("instructions", images ? (uint32_t)(counted / images) : 0);
        print("heaviest", (uint32_t)heaviest);
        print("stack", emulator_stack_used());
        print("arena", sizeof arena);
        return 0;
      }
      take_row(index);
    }
    emulator_write_out(finish(), MODEL_LABELS);
    emulator_write_out(arena + MODEL_LOGITS_AT, MODEL_LABELS);
  }
}
