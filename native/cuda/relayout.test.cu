// Changes of layout, element by element, of both sizes: few channels and many, pixels in whole packs and with
// a rest, and images beyond the first.
#include <cstring>

#include "cuda/testing.h"

namespace groupconv {
namespace {

template <class T>
void check_shape(const Shape& shape) {
  const int64_t channels = shape[1], pixels = shape[2] * shape[3];
  const auto size = static_cast<size_t>(shape.size());
  std::vector<T> rows(size), last(size);  // N C H W; N H W C
  for (int64_t n = 0; n < shape[0]; ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t i = 0; i < pixels; ++i) {
        const int64_t at = (n * channels + c) * pixels + i;
        rows[static_cast<size_t>(at)] = static_cast<T>(at * 37 + 5);
        last[static_cast<size_t>((n * pixels + i) * channels + c)] = static_cast<T>(at * 37 + 5);
      }
  const auto& stream = test::cuda_stream();
  const auto memory = [&] {
    return make_tensor(stream, shape, sizeof(T) == 2 ? DType::BFloat16 : DType::Float32);
  };
  const auto block = static_cast<int>(channels);
  for (const bool to_last : {true, false}) {
    std::ostringstream note;
    note << shape << (to_last ? " to" : " from") << " channels last, " << sizeof(T) << " bytes";
    const std::vector<T>&given = to_last ? rows : last, &wanted = to_last ? last : rows;
    const TensorPtr from = memory(), to = memory();
    stream->upload(given.data(), *from);  // as they are: the tensor takes them for rows
    const void* const source = from->template in_layout<void>(1);
    void* const target = to->template target_in_layout<void>(1);
    stream->submit([=](const ExecutionContext& context) {
      cuda::relayout(context, shape, sizeof(T), source, to_last ? 1 : block, target, to_last ? block : 1);
    });
    std::vector<T> found(size);
    stream->download(*to, found.data());
    stream->synchronize();
    CHECK_NOTE(found == wanted, note.str());
  }
}

void check_shapes() {
  for (const Shape& shape :
       {Shape{2, 2, 4, 6}, Shape{3, 2, 3, 3}, Shape{2, 3, 8, 8}, Shape{3, 3, 5, 7}, Shape{1, 3, 50, 48},
        Shape{2, 3, 1, 1}, Shape{2, 4, 4, 4}, Shape{2, 4, 3, 5}, Shape{2, 5, 8, 8}, Shape{3, 33, 5, 9}}) {
    test::prove("relayout", [&] { check_shape<uint16_t>(shape); });
    test::prove("relayout", [&] { check_shape<uint32_t>(shape); });
  }
  CHECK(test::cuda_stream()->intact());
}

}  // namespace
}  // namespace groupconv

static void tests() {
  groupconv::test::must_notice("relayout", "barrier launch block thread");
  groupconv::check_shapes();
}

int main() { return groupconv::test::on_a_device(tests); }
