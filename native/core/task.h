// A unit of queued work: called on its stream's thread with what the device lends it; once, or, where it was
// recorded, once more for every replay. Move-only.
#pragma once
#include <memory>
#include <utility>

#include "core/solver.h"

namespace groupconv {

class Task {
 public:
  Task() = default;
  template <class Function>
  Task(Function function)  // NOLINT: implicit, so that a lambda can be submitted
      : held_(std::make_unique<Holder<Function>>(std::move(function))) {}
  void operator()(const ExecutionContext& context) { held_->call(context); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void call(const ExecutionContext& context) = 0;
  };
  template <class Function>
  struct Holder final : Base {
    explicit Holder(Function function) : function(std::move(function)) {}
    void call(const ExecutionContext& context) override { function(context); }
    Function function;
  };
  std::unique_ptr<Base> held_;
};

}  // namespace groupconv
