// The candidate of `promptmatte conformance` in C++; docs/shm-protocol.md describes the lines.

#include "json_check.hpp"
#include "promptmatte_shm.hpp"

#include <cinttypes>
#include <iostream>
#include <map>
#include <optional>

using namespace promptmatte;

namespace {

using Fields = std::map<std::string, std::string>;

// A quoted string from here on, without its quotes; only \" and \\ occur in these lines.
std::string quoted(const std::string& line, std::size_t& at) {
    std::string text;
    for (++at; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\') ++at;
        text += line[at];
    }
    ++at;
    return text;
}

// {"name":value,...} with whole numbers and strings, and no blanks between them.
Fields parsed(const std::string& line) {
    Fields fields;
    for (std::size_t at = 1; at < line.size() && line[at] == '"'; ++at) {
        const std::string name = quoted(line, at);
        ++at;
        if (at < line.size() && line[at] == '"') {
            fields[name] = quoted(line, at);
        } else {
            const std::size_t end = line.find_first_of(",}", at);
            fields[name] = line.substr(at, end - at);
            at = end;
        }
    }
    return fields;
}

std::int64_t number(const Fields& fields, const char* name) {
    return std::strtoll(fields.at(name).c_str(), nullptr, 10);
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char code[8];
            std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
            out += code;
        } else {
            out += c;
        }
    }
    return out;
}

const char* kind_of(Fault fault) {
    switch (fault) {
        case Fault::bad_input: return "bad_input";
        case Fault::no_server: return "no_server";
        case Fault::layout: return "layout";
        case Fault::timeout: return "timeout";
        case Fault::too_large: return "too_large";
        default: return "other";
    }
}

std::string send(Client& client, const Fields& asked) {
    Frame frame;
    frame.info = {number(asked, "stream_id"), number(asked, "seq"), number(asked, "pts_ns"),
                  number(asked, "captured_ns")};
    frame.width = static_cast<std::uint32_t>(number(asked, "width"));
    frame.height = static_cast<std::uint32_t>(number(asked, "height"));
    frame.format = static_cast<PixelFormat>(number(asked, "format"));
    const std::uint64_t row_bytes = frame.width * pixel_bytes(frame.format);
    const auto seed = static_cast<std::uint64_t>(number(asked, "seed"));
    const bool is_float =
        frame.format == PixelFormat::rgba16f || frame.format == PixelFormat::rgba32f;
    std::vector<std::uint8_t> pixels;
    for (std::uint64_t y = 0; y < frame.height; ++y)
        for (std::uint64_t i = 0; i < row_bytes; ++i)
            pixels.push_back(static_cast<std::uint8_t>(
                (seed + 3 * i + 11 * y + (i * y >> 4)) & (is_float ? 63 : 255)));
    frame.pixels = pixels.data();
    return client.send_frame(frame) ? ",\"sent\":true" : ",\"sent\":false";
}

std::string read(Client& client, const Fields& asked) {
    Matte matte;
    if (!client.latest_matte(matte, std::chrono::milliseconds(number(asked, "timeout_ms"))))
        return ",\"got\":false";
    char told[600];
    std::snprintf(
        told, sizeof told,
        ",\"got\":true,\"width\":%u,\"height\":%u,\"format\":%u,\"fill_format\":%u"
        ",\"stream_id\":%" PRId64 ",\"seq\":%" PRId64 ",\"pts_ns\":%" PRId64
        ",\"captured_ns\":%" PRId64 ",\"anchor_seq\":%" PRId64 ",\"prompts_version\":%" PRId64
        ",\"age_ms\":%.17g,\"alpha_crc\":%u,\"fill_crc\":%u,\"confidence\":[",
        matte.width, matte.height, static_cast<unsigned>(matte.format),
        static_cast<unsigned>(matte.fill_format), matte.info.stream_id, matte.info.seq,
        matte.info.pts_ns, matte.info.captured_ns, matte.anchor_seq, matte.prompts_version,
        matte.age_ms, detail::crc32(matte.alpha.data(), matte.alpha.size()),
        detail::crc32(matte.fill.data(), matte.fill.size()));
    std::string text = told;
    for (std::size_t n = 0; n < matte.confidence.size(); ++n) {
        std::snprintf(told, sizeof told, "%s%.17g", n ? "," : "", matte.confidence[n]);
        text += told;
    }
    return text + "]";
}

std::string request(Client& client, const Fields& asked) {
    const std::string reply = client.request(
        asked.at("command"), std::chrono::milliseconds(number(asked, "timeout_ms")));
    if (!JsonCheck::is_object(reply)) throw Error(Fault::layout, "expected a JSON object");
    return ",\"reply\":\"" + escaped(reply) + "\"";
}

std::string done(std::optional<Client>& client, const Fields& asked) {
    const std::string& what = asked.at("do");
    if (what == "open") {
        client.reset();
        client.emplace(asked.at("session"));
        return "";
    }
    if (!client) throw Error(Fault::bad_input, "no session is open");
    if (what == "send") return send(*client, asked);
    if (what == "read") return read(*client, asked);
    if (what == "status")
        return client->status().connected ? ",\"connected\":true" : ",\"connected\":false";
    if (what == "request") return request(*client, asked);
    if (what != "close") throw Error(Fault::bad_input, "cannot do " + what);
    client.reset();
    return "";
}

}  // namespace

int main() {
    std::optional<Client> client;
    for (std::string line; std::getline(std::cin, line);) {
        try {
            const std::string fields = done(client, parsed(line));
            std::cout << "{\"ok\":true" << fields << "}" << std::endl;
        } catch (const Error& error) {
            std::cout << "{\"ok\":false,\"error\":\"" << kind_of(error.fault) << "\",\"text\":\""
                      << escaped(error.what()) << "\"}" << std::endl;
        }
    }
}
