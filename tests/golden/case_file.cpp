// A recorded case: tensors and metadata of a safetensors file.
#include "golden/case_file.hpp"

#include <cstring>

namespace tessera::golden {
namespace {

[[noreturn]] void fail(const std::string &message) {
    throw sdk::Failure(sdk::Status::kInvalidArgument, message);
}

// Elements of type From, whatever their alignment, as To.
template <class From, class To>
void convert(const sdk::View &view, std::vector<To> &out) {
    const auto *bytes = static_cast<const std::byte *>(view.data);
    const std::int64_t count = sdk::element_count(view);
    out.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
        From value;
        std::memcpy(&value, bytes + i * static_cast<std::int64_t>(sizeof value), sizeof value);
        out.push_back(static_cast<To>(value));
    }
}

std::vector<std::int64_t> shape_of(const sdk::View &view) {
    return {view.shape, view.shape + view.rank};
}

} // namespace

std::string at_step(int step, const std::string &what) {
    const std::string number = std::to_string(step);
    return "step." + (number.size() < 2 ? "0" + number : number) + "." + what;
}

sdk::View CaseFile::get(const std::string &name) const {
    const auto view = file_.find(name);
    if (!view) throw MissingStage(path(), "tensor '" + name + "'");
    used_.insert(name);
    return *view;
}

Values<float> CaseFile::floats(const std::string &name) const {
    const sdk::View view = get(name);
    Values<float> values{shape_of(view), {}};
    if (view.dtype == TESSERA_DTYPE_F32) {
        convert<float>(view, values.data);
    } else if (view.dtype == TESSERA_DTYPE_F64) {
        convert<double>(view, values.data);
    } else {
        fail(path() + ": tensor '" + name + "' is not of type F32 or F64");
    }
    return values;
}

Values<double> CaseFile::doubles(const std::string &name) const {
    const sdk::View view = get(name);
    Values<double> values{shape_of(view), {}};
    if (view.dtype == TESSERA_DTYPE_F32) {
        convert<float>(view, values.data);
    } else if (view.dtype == TESSERA_DTYPE_F64) {
        convert<double>(view, values.data);
    } else {
        fail(path() + ": tensor '" + name + "' is not of type F32 or F64");
    }
    return values;
}

Values<std::int64_t> CaseFile::integers(const std::string &name) const {
    const sdk::View view = get(name);
    Values<std::int64_t> values{shape_of(view), {}};
    if (view.dtype == TESSERA_DTYPE_I64) {
        convert<std::int64_t>(view, values.data);
    } else if (view.dtype == TESSERA_DTYPE_U8) {
        convert<std::uint8_t>(view, values.data);
    } else if (view.dtype == TESSERA_DTYPE_I32) {
        convert<std::int32_t>(view, values.data);
    } else {
        fail(path() + ": tensor '" + name + "' is not of type I64, I32 or U8");
    }
    return values;
}

Values<double> CaseFile::numbers(const std::string &name) const {
    const sdk::View view = get(name);
    if (view.dtype == TESSERA_DTYPE_F32 || view.dtype == TESSERA_DTYPE_F64) return doubles(name);
    const Values<std::int64_t> whole = integers(name);
    return {whole.shape, {whole.data.begin(), whole.data.end()}};
}

std::string CaseFile::text(const char *key) const {
    const auto value = file_.metadata(key);
    if (!value) throw MissingStage(path(), std::string("metadata '") + key + "'");
    return *value;
}

blocks::Config CaseFile::object(const char *key) const {
    return blocks::Config::parse(text(key), path() + ": " + key);
}

std::vector<std::string> CaseFile::names_ending(const std::string &suffix) const {
    std::vector<std::string> names;
    for (std::uint32_t i = 0; i < file_.count(); ++i) {
        std::string name = file_.name(i);
        if (name.ends_with(suffix)) names.push_back(std::move(name));
    }
    return names;
}

} // namespace tessera::golden
