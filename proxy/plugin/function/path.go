package function

import "strings"

// reserved are the bytes of a path whose escapes stay. Kong: kong/tools/uri.lua RESERVED_CHARS
const reserved = "!#$&'()*+,/:;=?@[]%"

// normalizePath decodes what may be decoded, resolves dots and merges slashes. Kong: kong/tools/uri.lua normalize
func normalizePath(raw string) string {
	decoded := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' || i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
			decoded = append(decoded, c)
			continue
		}
		v := fromHex(raw[i+1])<<4 | fromHex(raw[i+2])
		if strings.IndexByte(reserved, v) >= 0 {
			decoded = append(decoded, '%', upperHex[v>>4], upperHex[v&15])
		} else {
			decoded = append(decoded, v)
		}
		i += 2
	}
	var kept []string
	segments := strings.Split(string(decoded), "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case "":
			if last {
				kept = append(kept, "")
			}
		case ".":
			if last {
				kept = append(kept, "")
			}
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}
