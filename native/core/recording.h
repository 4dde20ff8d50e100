// Work that is kept to be run again, with the memory it uses.
//
// A replay repeats the recorded tasks on the same memory. For every tensor that the work met, the recording
// knows the form (memory and layout) in which it was found, or left. So a replay first brings the values of
// tensors from outside into the form in which they were found, wherever they have gone since, and afterwards
// shows what was written in the form in which it was left.
//
// Derived forms of parameters that the work itself doesn't change stand apart from it: a replay makes them
// anew where a parameter's version says so.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/recorded_memory.h"
#include "core/tensor.h"

namespace groupconv {

class Recording {
 public:
  // Of `stream` alone; made by Stream::begin_recording.
  explicit Recording(Stream& stream);
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  // While it is made: what the stream and its tensors tell it.
  uint64_t number() const { return number_; }  // never used twice in a process, above 0
  const std::shared_ptr<RecordedMemory>& memory() const { return memory_; }
  std::shared_ptr<Task> keep(Task task);
  void meet(const Tensor& tensor);   // before its memory is used for the first time
  void wrote(const Tensor& tensor);  // it has a new value
  // `make` submits the work that fills the memory of a derived form, once for each stamp.
  void prepare(const Tensor& parameter, std::string_view key, const Stamp& stamp,
               const std::shared_ptr<Storage>& storage, const std::function<void()>& make);
  // Ends it. From now on it keeps its stream alive.
  void seal(std::shared_ptr<Stream> stream);

  // Throws DISPOSED when a tensor that the work needs is gone.
  void check() const;
  // Queues the work once more.
  void replay();
  // Memory that is the recording's own, whatever of it is in use.
  size_t bytes() const { return memory_->bytes(); }
  const std::shared_ptr<Stream>& stream() const { return stream_; }

 private:
  struct Met {
    std::weak_ptr<Tensor> tensor;
    Form found, left;
    bool inside = false, written = false;
  };
  // The work that fills one derived form.
  struct Preparation {
    uint64_t parameter;  // ids
    std::string key;
    Stamp stamp;
    std::shared_ptr<Storage> storage;
    RecordedWork work;
  };
  struct Entry {
    std::shared_ptr<Task> task;
    int preparation;  // -1: none
  };
  bool can_stand_apart(const Preparation& preparation) const;
  void bring_in();
  void renew(Preparation& preparation);

  const uint64_t number_;
  std::shared_ptr<RecordedMemory> memory_;
  std::shared_ptr<Stream> stream_;  // once sealed
  std::unordered_map<uint64_t, Met> met_;
  std::vector<Preparation> preparations_;  // once sealed, those that stand apart have the work
  std::vector<Entry> entries_;             // until sealed
  int preparing_ = -1;
  Stream::Work repeat_;  // once sealed
};

}  // namespace groupconv
