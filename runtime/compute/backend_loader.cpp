#include "compute/backend_loader.hpp"

#include "compute/cuda/module.hpp"
#include "core/log.hpp"
#include "core/program.hpp"

#include <tessera/version.h>

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <utility>

namespace tessera {
namespace {

namespace fs = std::filesystem;

// TESSERA_CUDA_MODULE, or the file beside the folder of plugins, in the build tree and installed.
Result<fs::path> module_file() {
    if (const char *given = std::getenv("TESSERA_CUDA_MODULE"); given != nullptr && *given != 0) {
        if (fs::exists(given)) return fs::path(given);
        return make_error(Status::kUnsupported, "TESSERA_CUDA_MODULE is {}, which does not exist",
                          given);
    }
    std::error_code ignored;
    const fs::path program = program_folder();
    for (const char *folder : {"../lib/tessera", "../" TESSERA_LIBDIR "/tessera"}) {
        const fs::path file = program / folder / cuda::kModuleFile;
        if (fs::exists(file, ignored)) return file;
    }
    return make_error(Status::kUnsupported,
                      "this build has no CUDA backend (its module {} is not beside the plugins)",
                      cuda::kModuleFile);
}

void write_log(std::int32_t level, const char *source, const char *message) {
    log::write(static_cast<log::Level>(level), source, message);
}

// A loaded module. It is closed again only as long as nothing was opened with it: kernels of a
// context that lives on must stay.
class Module {
  public:
    static Result<Module> load() {
        const auto file = module_file();
        if (!file) return file.error();
        Module module(dlopen(file->c_str(), RTLD_NOW | RTLD_LOCAL));
        if (module.library_ == nullptr) {
            const char *const why = dlerror();
            return make_error(Status::kUnsupported, "{} cannot be loaded: {}", file->string(),
                              why != nullptr ? why : "unknown reason");
        }
        auto *const entry =
            reinterpret_cast<cuda::ModuleEntry *>(dlsym(module.library_, cuda::kModuleEntry));
        module.table_ = entry != nullptr ? entry() : nullptr;
        if (module.table_ == nullptr || module.table_->struct_size != sizeof(cuda::ModuleTable) ||
            module.table_->abi_version != TESSERA_ABI_VERSION ||
            module.table_->options_size != sizeof(cuda::ModuleOptions)) {
            return make_error(Status::kUnsupported,
                              "{} is of another version; expected the module of this build",
                              file->string());
        }
        module.table_->set_log(write_log);
        return module;
    }

    Module(Module &&other) noexcept
        : library_(std::exchange(other.library_, nullptr)), table_(other.table_) {}
    Module &operator=(Module &&) = delete;
    ~Module() {
        if (library_ != nullptr) dlclose(library_);
    }

    [[nodiscard]] const cuda::ModuleTable &table() const { return *table_; }
    void keep() { library_ = nullptr; }

  private:
    explicit Module(void *library) : library_(library) {}

    void *library_;
    const cuda::ModuleTable *table_ = nullptr;
};

} // namespace

std::string missing_cuda() {
    const auto module = Module::load();
    if (!module) return module.error().message;
    cuda::ModuleMessage reason{};
    return module->table().probe(&reason) == TESSERA_OK ? std::string() : reason.text;
}

Result<OpenedCompute> open_cuda_compute(const ComputeOptions &options) {
    auto module = Module::load();
    if (!module) return module.error();
    cuda::ModuleMessage message{};
    tessera_status status = TESSERA_OK;
    const cuda::ModuleOptions wanted{.free_multiprocessors = options.free_multiprocessors,
                                     .denoise_steps = options.denoise_steps,
                                     .denoise_graphs = options.denoise_graphs};
    const tessera_compute *compute = module->table().open(&wanted, &status, &message);
    if (compute == nullptr) return make_error(static_cast<Status>(status), "{}", message.text);
    module->keep();
    return OpenedCompute(compute, module->table().close);
}

} // namespace tessera
