#include "core/dispatch.h"

namespace groupconv {
namespace {

std::vector<AnyRegistry*>& registries() {
  static std::vector<AnyRegistry*> registries;
  return registries;
}

}  // namespace

AnyRegistry::AnyRegistry(const char* op) : op_(op) { registries().push_back(this); }

const std::vector<AnyRegistry*>& AnyRegistry::all() { return registries(); }

AnyRegistry& AnyRegistry::find(const std::string& op) {
  for (AnyRegistry* registry : all())
    if (op == registry->op()) return *registry;
  fail(ErrorCode::InvalidArgument, "solvers: no operator ", op);
}

bool AnyRegistry::may_choose(const std::string& solver) const {
  for (DeviceKind device : {DeviceKind::Cpu, DeviceKind::Cuda})
    for (const std::string& name : solver_names(device))
      if (name == solver) return true;
  return false;
}

void AnyRegistry::force(const std::string& solver) {
  require(solver.empty() || may_choose(solver), ErrorCode::InvalidArgument, op_, ": no solver ", solver);
  forced_ = solver;
}

}  // namespace groupconv
