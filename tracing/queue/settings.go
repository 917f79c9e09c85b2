package queue

import (
	"cmp"
	"math"
	"time"
)

// Settings are Kong's queue settings. Kong: kong/tools/queue_schema.lua
type Settings struct {
	// Records names what the queue holds, for its log lines. "": spans.
	Records string
	// MaxBatchSize bounds the entries of a post. 0 means not configured: 200 entries then cause a post, which takes
	// all that waits.
	MaxBatchSize int
	// MaxCoalescingDelay is how long the first entry waits for company. 0: no time at all.
	MaxCoalescingDelay time.Duration
	// MaxEntries and MaxBytes bound what the queue holds; beyond them the oldest entries go. A post on the wire comes
	// on top (it is bounded by PostBytes), so a slow receiver costs nothing; while it waits for a retry it counts.
	// 0 means not configured. MaxEntries then bounds nothing; MaxBytes then is 64 MiB or 1 KiB per entry of MaxEntries,
	// whichever is more, or 32 MiB where MaxEntries is not configured either.
	MaxEntries int
	MaxBytes   int64
	// MaxRetryTime is how long a post is tried again, counted from its first try. 0: it is tried once.
	MaxRetryTime time.Duration
	// InitialRetryDelay (0: 10 ms) doubles up to MaxRetryDelay (0: 60 s), but not beyond 2 s, so that a receiver which
	// comes back has everything soon (docs/decisions/0004-batches.md). An InitialRetryDelay that is longer counts.
	InitialRetryDelay time.Duration
	MaxRetryDelay     time.Duration
	// ConcurrencyLimit is the number of posts in flight: 1 (also when 0), or -1 for several.
	ConcurrencyLimit int
	// PostBytes bounds the frames of a post. 0: 4 MiB. A larger single span is cut (see Shortener) or cannot be sent.
	PostBytes int
	// Storage is where spans are kept besides memory; nil: nowhere. With it, MaxEntries and MaxBytes bound only what has
	// not reached the disk, and a post for which there was no answer waits beyond MaxRetryTime, until Storage.MaxAge.
	Storage *Storage
}

// DefaultSettings are Kong's defaults, with MaxBatchSize and MaxBytes not configured.
func DefaultSettings() Settings {
	return Settings{
		MaxCoalescingDelay: time.Second,
		MaxRetryTime:       time.Minute,
	}.withDefaults()
}

const (
	defaultTrigger   = 200 // Kong's default max_batch_size
	defaultBytes     = 32 << 20
	defaultPostBytes = 4 << 20

	// several is the number of posts in flight for ConcurrencyLimit -1. Kong sets no bound; sockets and memory do.
	several = 8

	// probeDelay bounds the wait between two tries.
	probeDelay = 2 * time.Second
)

func (s Settings) withDefaults() Settings {
	s.Records = cmp.Or(s.Records, "spans")
	if s.InitialRetryDelay <= 0 {
		s.InitialRetryDelay = 10 * time.Millisecond
	}
	if s.MaxRetryDelay <= 0 {
		s.MaxRetryDelay = time.Minute
	}
	s.MaxRetryDelay = max(s.MaxRetryDelay, s.InitialRetryDelay)
	if s.ConcurrencyLimit == 0 {
		s.ConcurrencyLimit = 1
	}
	if s.PostBytes <= 0 {
		s.PostBytes = defaultPostBytes
	}
	return s
}

// longestDelay is the wait that InitialRetryDelay doubles up to.
func (s Settings) longestDelay() time.Duration {
	return max(s.InitialRetryDelay, min(s.MaxRetryDelay, probeDelay))
}

// trigger is the number of waiting entries that causes a post at once.
func (s Settings) trigger() int {
	if s.MaxBatchSize > 0 {
		return s.MaxBatchSize
	}
	if s.MaxEntries > 0 {
		return min(defaultTrigger, s.MaxEntries)
	}
	return defaultTrigger
}

// bytesLimit is MaxBytes, or the bound that stands in for it.
func (s Settings) bytesLimit() int64 {
	switch {
	case s.MaxBytes > 0:
		return s.MaxBytes
	case s.MaxEntries > 0:
		return max(64<<20, int64(s.MaxEntries)<<10)
	default:
		return defaultBytes
	}
}

// entriesLimit is MaxEntries, or no limit.
func (s Settings) entriesLimit() int {
	if s.MaxEntries > 0 {
		return s.MaxEntries
	}
	return math.MaxInt
}

// frameLimit is the size in bytes of the largest frame that can be queued and sent.
func (s Settings) frameLimit() int {
	return int(min(int64(s.PostBytes), s.bytesLimit()))
}

func (s Settings) workers() int {
	if s.ConcurrencyLimit < 0 {
		return several
	}
	return s.ConcurrencyLimit
}
