package capture

import "bytes"

// Card numbers have 13 to 19 digits, in groups with a space or a hyphen between them or in one.
const (
	minCard = 13
	maxCard = 19
	// cutCard is how many digits at the end of a text that was cut may still be shown: no more than a card's issuer.
	cutCard = 6
)

func digit(c byte) bool { return c-'0' <= 9 }

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// nextCard finds the first card number in text from position from on. cut tells that text goes on unseen: what could be
// the beginning of a number is then taken for one.
func nextCard(text []byte, from int, cut bool) (start, end int, ok bool) {
	// Whatever card number there is covers minCard bytes, all digits or separators. So it is enough to look at one pair in
	// minCard-1. What is cut may be shorter.
	const stride = minCard - 1
	for probe := from; probe < len(text); probe += stride {
		for len(text)-probe > 3*stride { // most text has no digits
			part := text[probe : probe+3*stride+1]
			if numeric[part[0]]|numeric[part[stride]]|numeric[part[2*stride]]|numeric[part[3*stride]] != 0 {
				break
			}
			probe += 4 * stride
		}
		if probe >= len(text) {
			break
		}
		if numeric[text[probe]] == 0 || probe+1 < len(text) && numeric[text[probe+1]] == 0 {
			continue
		}
		if start, end, ok = cardAround(text, from, probe, cut); ok {
			return start, end, true
		}
	}
	if !cut {
		return 0, 0, false
	}
	// The last pair may be beyond the end.
	for probe := max(from, len(text)-stride); probe < len(text); probe++ {
		if digit(text[probe]) {
			if start, end, ok = cardAround(text, from, probe, cut); ok {
				return start, end, true
			}
		}
	}
	return 0, 0, false
}

func hasCard(text string) bool {
	if len(text) < minCard {
		return false
	}
	_, _, ok := nextCard([]byte(text), 0, false)
	return ok
}

// cardAround looks for a card number that begins before or at probe, or at the byte after it.
func cardAround(text []byte, from, probe int, cut bool) (start, end int, ok bool) {
	start, end = probe, probe+1
	for start > from && probe-start < 2*maxCard && (digit(text[start-1]) || separator(text[start-1])) {
		start--
	}
	for end < len(text) && end-start < minCard && (digit(text[end]) || separator(text[end])) {
		end++
	}
	if end-start < minCard && !(cut && end == len(text)) {
		return 0, 0, false // a date, for example
	}
	for ; start < len(text) && start <= probe+1; start++ {
		if !digit(text[start]) || start > 0 && (digit(text[start-1]) || letter(text[start-1])) {
			continue // not where a group begins
		}
		if end, ok = cardAt(text, start, cut); ok {
			return start, end, true
		}
	}
	return 0, 0, false
}

// numeric is 1 for digits and separators.
var numeric = func() (table [256]uint8) {
	for c := range table {
		if digit(byte(c)) || separator(byte(c)) {
			table[c] = 1
		}
	}
	return table
}()

func separator(c byte) bool { return c == ' ' || c == '-' }

// cardAt looks for a card number of whole groups that begins at start.
func cardAt(text []byte, start int, cut bool) (end int, ok bool) {
	var digits [maxCard]byte
	n := 0
	for i := start; i < len(text); i++ {
		switch {
		case digit(text[i]):
			if n == maxCard {
				return 0, false
			}
			digits[n] = text[i] - '0'
			n++
			if i+1 < len(text) && (digit(text[i+1]) || letter(text[i+1])) {
				continue
			}
			if n >= minCard && card(digits[:n]) {
				return i + 1, true
			}
		case !separator(text[i]) || separator(text[i-1]):
			return 0, false
		}
	}
	return len(text), cut && n > cutCard
}

// card reports whether digits (0 to 9 each) are those of a payment card: ISO/IEC 7812-1, with the first digit of one of
// the payment networks and Luhn's check digit.
func card(digits []byte) bool {
	if digits[0] < 2 || digits[0] > 6 {
		return false
	}
	sum := 0
	for i, d := range digits {
		value := int(d)
		if (len(digits)-i)%2 == 0 {
			if value *= 2; value > 9 {
				value -= 9
			}
		}
		sum += value
	}
	return sum%10 == 0
}

// minCredential is the length below which what follows "Bearer" is taken for a word.
const minCredential = 8

// nextScheme finds the first credential that follows "Bearer" or "Basic" in text from position from on.
func nextScheme(text []byte, from int) (start, end int, ok bool) {
	for {
		i := bytes.IndexByte(text[from:], 'B')
		if i < 0 {
			return 0, 0, false
		}
		from += i + 1
		rest := text[from:]
		if !bytes.HasPrefix(rest, []byte("earer ")) && !bytes.HasPrefix(rest, []byte("asic ")) {
			continue
		}
		start = from + bytes.IndexByte(rest, ' ') + 1
		end = start + tokenLength(text[start:])
		if end-start >= minCredential || end == len(text) && end > start {
			return start, end, true
		}
		from = end
	}
}

// nextWebToken finds the first JSON Web Token in text from position from on: what begins with {" and has three parts.
func nextWebToken(text []byte, from int) (start, end int, ok bool) {
	for {
		i := bytes.IndexByte(text[from:], 'J')
		if i < 0 {
			return 0, 0, false
		}
		start, from = from+i-2, from+i+1
		if start < 0 || text[start] != 'e' || text[start+1] != 'y' || start > 0 && tokenByte(text[start-1]) && text[start-1] != '=' {
			continue
		}
		end = start + tokenLength(text[start:])
		if bytes.Count(text[start:end], []byte(".")) >= 2 || end == len(text) && end-start >= minCredential {
			return start, end, true
		}
		from = end
	}
}

func tokenLength(text []byte) int {
	for i, c := range text {
		if !tokenByte(c) {
			return i
		}
	}
	return len(text)
}

// tokenByte reports whether c may stand in a token68 (RFC 9110, 11.2).
func tokenByte(c byte) bool {
	return letter(c) || digit(c) || c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/' || c == '='
}

// nextUserInfo finds the first name or password in a URL in text from position from on.
func nextUserInfo(text []byte, from int) (start, end int, ok bool) {
	for {
		i := bytes.IndexByte(text[from:], '@')
		if i < 0 {
			return 0, 0, false
		}
		end = from + i
		for start = end; start > from && authority(text[start-1]); {
			start--
		}
		if bytes.HasSuffix(text[:start], []byte("://")) {
			for last := end; last < len(text) && authority(text[last]); last++ {
				if text[last] == '@' {
					end = last // of a password with an "@"
				}
			}
			if start < end {
				return start, end, true
			}
		}
		from = end + 1
	}
}

// authority reports whether c may stand before the "@" of a URL. What ends an authority may not.
func authority(c byte) bool {
	return c > ' ' && c != '/' && c != '?' && c != '#' && c != '"' && c != '\'' && c != '<' && c != '>'
}
