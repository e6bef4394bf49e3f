// A model's safetensors file with one thing wrong.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace tessera::invariants {

class ModelFile {
  public:
    explicit ModelFile(const std::string &path) {
        std::ifstream in(path, std::ios::binary);
        const std::string all{std::istreambuf_iterator<char>(in), {}};
        std::uint64_t size = 0;
        std::memcpy(&size, all.data(), sizeof size);
        header_ = nlohmann::json::parse(all.substr(sizeof size, size));
        data_ = all.substr(sizeof size + size);
    }

    // The largest tensor: every model reads that one.
    [[nodiscard]] std::string largest() const {
        std::string name;
        std::int64_t most = -1;
        for (const auto &[key, tensor] : header_.items()) {
            if (key == "__metadata__") continue;
            const auto offsets = tensor["data_offsets"].get<std::vector<std::int64_t>>();
            if (offsets[1] - offsets[0] > most) {
                most = offsets[1] - offsets[0];
                name = key;
            }
        }
        return name;
    }
    void rename(const std::string &name, const std::string &other) {
        header_[other] = header_[name];
        header_.erase(name);
    }
    void flatten(const std::string &name) { // another shape of as many numbers
        std::int64_t count = 1;
        for (const std::int64_t size : header_[name]["shape"].get<std::vector<std::int64_t>>()) {
            count *= size;
        }
        header_[name]["shape"] = {count, 1, 1};
    }
    void spoil(const std::string &name) { // all ones: no number, in every type of floats
        const auto begin = header_[name]["data_offsets"][0].get<std::size_t>();
        data_.replace(begin, 8, 8, '\xff');
    }
    void drop_metadata(const std::string &key) { header_["__metadata__"].erase(key); }
    void cut(std::size_t bytes) { data_.resize(data_.size() - bytes); }

    void write(const std::string &path) const {
        std::string text = header_.dump();
        text.append((8 - text.size() % 8) % 8, ' ');
        const std::uint64_t size = text.size();
        std::ofstream out(path, std::ios::binary);
        out.write(reinterpret_cast<const char *>(&size), sizeof size);
        out << text << data_;
    }

  private:
    nlohmann::json header_;
    std::string data_;
};

} // namespace tessera::invariants
