package dns

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	hostsInterval = 5 * time.Second // how often the hosts file is looked at, at most
	maxHostsFile  = 16 << 20        // bytes
)

// hostAddrs are the addresses of one name in a hosts file: the first of each family.
type hostAddrs struct{ v4, v6 netip.Addr }

func (a hostAddrs) choose(preferV6 bool) netip.Addr {
	if a.v6.IsValid() && (preferV6 || !a.v4.IsValid()) {
		return a.v6
	}
	return a.v4
}

// hostsFile is a hosts file that is read again when it changes.
type hostsFile struct {
	path    string
	table   atomic.Pointer[hostsTable]
	checked atomic.Int64 // time.Duration since the resolver began
}

type hostsTable struct {
	names    map[string]hostAddrs
	modified time.Time
	size     int64
}

func (h *hostsFile) init(path string) {
	if path == "" {
		path = "/etc/hosts"
	}
	h.path = path
	h.table.Store(&hostsTable{names: parseHosts(nil)})
	h.reload()
}

func (h *hostsFile) lookup(name string, now time.Duration) (hostAddrs, bool) {
	if last := h.checked.Load(); now-time.Duration(last) >= hostsInterval && h.checked.CompareAndSwap(last, int64(now)) {
		h.reload()
	}
	names := h.table.Load().names
	found, ok := names[name]
	if !ok {
		found, ok = names[strings.ToLower(name)]
	}
	return found, ok
}

// reload reads the file if it is another than the one known. A file that cannot be read, or is absurdly large, leaves
// the table as it was: half a hosts file is worse than an old one.
func (h *hostsFile) reload() {
	info, err := os.Stat(h.path)
	if err != nil || info.IsDir() {
		return
	}
	known := h.table.Load()
	if info.ModTime().Equal(known.modified) && info.Size() == known.size {
		return
	}
	text, err := readBounded(h.path, maxHostsFile)
	if err != nil {
		return
	}
	h.table.Store(&hostsTable{names: parseHosts(text), modified: info.ModTime(), size: info.Size()})
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("read %s: larger than %d bytes", path, limit)
	}
	return text, nil
}

// parseHosts reads a hosts file: an address and the names it has, one line each, # begins a comment. Names are in lower
// case; a name's first address of each family counts; lines that begin with no address are passed over. localhost is
// always there.
//
// Kong: kong/resty/dns/utils.lua parseHosts; localhost: RFC 6761 section 6.3
func parseHosts(text []byte) map[string]hostAddrs {
	names := make(map[string]hostAddrs)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(fields[0], "["), "]"))
		if err != nil {
			continue
		}
		ip = ip.Unmap()
		for _, name := range fields[1:] {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			known := names[name]
			switch {
			case name == "":
				continue
			case ip.Is4() && !known.v4.IsValid():
				known.v4 = ip
			case ip.Is6() && !known.v6.IsValid():
				known.v6 = ip
			}
			names[name] = known
		}
	}
	if _, ok := names["localhost"]; !ok {
		names["localhost"] = hostAddrs{v4: netip.AddrFrom4([4]byte{127, 0, 0, 1}), v6: netip.IPv6Loopback()}
	}
	return names
}
