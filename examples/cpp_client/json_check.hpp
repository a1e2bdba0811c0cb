// Whether a text is one JSON object, and nothing else.

#pragma once

#include <cctype>
#include <cstddef>
#include <cstring>
#include <string>

// Whether a text is one JSON object; programs that use the replies have a JSON library instead.
class JsonCheck {
public:
    static bool is_object(const std::string& text) {
        JsonCheck check(text);
        check.blank();
        const bool good = check.peek() == '{' && check.value(0);
        check.blank();
        return good && check.at_ == check.end_;
    }

private:
    explicit JsonCheck(const std::string& text)
        : at_(text.data()), end_(text.data() + text.size()) {}
    int peek() const { return at_ == end_ ? -1 : static_cast<unsigned char>(*at_); }
    bool take(char wanted) { return peek() == wanted && (++at_, true); }
    bool word(const char* wanted) {
        const std::size_t count = std::strlen(wanted);
        const bool there = static_cast<std::size_t>(end_ - at_) >= count &&
                           std::memcmp(at_, wanted, count) == 0;
        return there && (at_ += count, true);
    }
    void blank() {
        while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
    }
    bool value(int depth) {
        blank();
        if (depth > 256) return false;
        if (peek() == '{') return list('{', '}', depth, true);
        if (peek() == '[') return list('[', ']', depth, false);
        if (peek() == '"') return string();
        return word("true") || word("false") || word("null") || number();
    }
    bool list(char opening, char closing, int depth, bool named) {
        take(opening);
        blank();
        if (take(closing)) return true;
        do {
            blank();
            if (named && !(string() && (blank(), take(':')))) return false;
            if (!value(depth + 1)) return false;
            blank();
        } while (take(','));
        return take(closing);
    }
    bool digits() {
        const char* from = at_;
        while (peek() >= '0' && peek() <= '9') ++at_;
        return at_ != from;
    }
    bool number() {
        take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (!take('e') && !take('E')) return true;
        if (!take('+')) take('-');
        return digits();
    }
    bool string() {
        if (!take('"')) return false;
        while (peek() != '"') {
            const int c = peek();
            if (c < 0x20) return false;
            ++at_;
            if (c == '\\' && !escape()) return false;
            if (c >= 0x80 && !utf8_rest(c)) return false;
        }
        return take('"');
    }
    bool escape() {
        const int c = peek();
        if (c < 0 || std::strchr("\"\\/bfnrtu", c) == nullptr) return false;
        ++at_;
        for (int n = 0; c == 'u' && n < 4; ++n, ++at_)
            if (peek() < 0 || !std::isxdigit(peek())) return false;
        return true;
    }
    bool utf8_rest(int first) {
        const int count = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        if (first < 0xC2 || first > 0xF4) return false;
        for (int n = 0; n < count; ++n, ++at_)
            if (peek() < 0x80 || peek() > 0xBF) return false;
        return true;
    }
    const char* at_;
    const char* end_;
};
