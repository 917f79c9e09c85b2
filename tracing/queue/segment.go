package queue

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"syscall"
	"time"
)

// A segment is one file of a queue's log. Whoever holds its lock owns it; the lock goes with the process, so a segment
// that can be locked was left behind. It stands for itself: its head says what its spans belong to, and which of them
// have been answered for is written in it too.
//
//	file   = "SKSPANS1" headLength:u32 crc:u32 head record*
//	record = kind:u8 0 0 0 a:u32 b:u32 time:u64 crc:u32 payload
//
// Integers are little-endian; crc is CRC-32C of all before it and the payload after it. A record of kind 'D' holds b
// frames in a payload of a bytes, written at a time in seconds since 1970. One of kind 'A' has no payload: what lies
// between the offsets a and b of the file has been answered for. The first record that is not whole ends the file.
type segment struct {
	path string
	file *os.File
	head []byte
	size int64 // of the file, as far as it is whole: where the next record goes

	next    int64    // the record to read next
	payload []byte   // what is left of the record in hand
	at      int64    // the offset of payload in the file
	written int64    // when the record in hand was written, in seconds since 1970
	settled []extent // answered for when the file was opened, in order; what has been read since is not in it

	unread   int // frames that wait
	bytes    int64
	inFlight int  // batches read and not answered for
	gone     bool // the file was deleted
}

// An extent is a part of a file: from is in it, to is not.
type extent struct{ from, to int64 }

const (
	segmentMagic  = "SKSPANS1"
	segmentHeader = len(segmentMagic) + 8
	recordHeader  = 24
	maxSegment    = math.MaxUint32 // offsets have 32 bits
	kindData      = 'D'
	kindSettled   = 'A'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(parts ...[]byte) (sum uint32) {
	for _, part := range parts {
		sum = crc32.Update(sum, castagnoli, part)
	}
	return sum
}

var (
	errBusy    = errors.New("segment belongs to another") // or is gone
	errDamaged = errors.New("segment makes no sense")
)

// createSegment makes a file that must not exist.
func createSegment(path string, head []byte) (*segment, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	s := &segment{path: path, file: file, head: head}
	if err := s.begin(); err != nil {
		file.Close()
		_ = os.Remove(path) // an empty file does no harm
		return nil, fmt.Errorf("create segment: %w", err)
	}
	return s, nil
}

func (s *segment) begin() error {
	if err := lock(s.file); err != nil {
		return err
	}
	buf := append(make([]byte, 0, segmentHeader+len(s.head)), segmentMagic...)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(s.head)))
	sum := checksum(buf, s.head)
	buf = append(binary.LittleEndian.AppendUint32(buf, sum), s.head...)
	if _, err := s.file.Write(buf); err != nil {
		return err
	}
	s.size = int64(len(buf))
	s.next = s.size
	return nil
}

// openSegment takes over a file that was left behind. errBusy: it was not. errDamaged: there was nothing in it to use and
// it is deleted. damaged is the number of bytes at its end that are no whole record.
func openSegment(path string) (s *segment, damaged int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = errBusy
		}
		return nil, 0, err
	}
	s = &segment{path: path, file: file}
	if err = lock(file); err == nil {
		damaged, err = s.recover()
	}
	if err != nil {
		if errors.Is(err, errDamaged) {
			_ = os.Remove(path) // as long as it is locked; otherwise it comes up again
		}
		file.Close()
		return nil, 0, err
	}
	return s, damaged, nil
}

func lock(file *os.File) error {
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return errBusy
		}
		return fmt.Errorf("lock segment: %w", err)
	}
	// Its last owner may have deleted it in the meantime.
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("lock segment: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink == 0 {
		return errBusy
	}
	return nil
}

// recover reads what is there: the head, how far the file is whole, and which spans have been answered for.
func (s *segment) recover() (damaged int64, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("read segment: %w", err)
	}
	end := min(info.Size(), maxSegment)
	header := make([]byte, segmentHeader)
	if _, err := s.file.ReadAt(header, 0); err != nil && err != io.EOF {
		return 0, fmt.Errorf("read segment: %w", err)
	}
	if string(header[:len(segmentMagic)]) != segmentMagic {
		return 0, errDamaged
	}
	length := int64(binary.LittleEndian.Uint32(header[len(segmentMagic):]))
	if length > end-int64(segmentHeader) {
		return 0, errDamaged
	}
	s.head = make([]byte, length)
	if _, err := s.file.ReadAt(s.head, int64(segmentHeader)); err != nil {
		return 0, fmt.Errorf("read segment: %w", err)
	}
	if checksum(header[:segmentHeader-4], s.head) != binary.LittleEndian.Uint32(header[segmentHeader-4:]) {
		return 0, errDamaged
	}
	first := int64(segmentHeader) + length

	for s.size = first; ; {
		r, err := s.readRecord(s.size, end)
		if err != nil {
			break
		}
		if r.kind == kindSettled {
			s.settled = append(s.settled, extent{int64(r.a), int64(r.b)})
		} else if _, _, ok := checkFrames(r.payload, int(r.b), math.MaxInt); !ok {
			break
		}
		s.size = r.end
	}
	slices.SortFunc(s.settled, func(a, b extent) int { return cmp.Compare(a.from, b.from) })

	settled := s.settled
	s.next = first
	for {
		run, err := s.run()
		if err != nil {
			return 0, err
		}
		if run == nil {
			break
		}
		size, n := cutFrames(run, math.MaxInt, math.MaxInt)
		if size < len(run) {
			return 0, errDamaged // what is said to be answered for ends within a frame
		}
		s.unread += n
		s.bytes += int64(len(run))
		s.skip(len(run))
	}
	s.next, s.at, s.payload, s.settled = first, 0, nil, settled
	return info.Size() - s.size, nil
}

// A record is read whole.
type record struct {
	kind    byte
	a, b    uint32
	time    int64
	payload []byte
	end     int64 // the offset behind it
}

func (s *segment) readRecord(at, end int64) (record, error) {
	var header [recordHeader]byte
	if at+recordHeader > end {
		return record{}, io.ErrUnexpectedEOF
	}
	if _, err := s.file.ReadAt(header[:], at); err != nil {
		return record{}, err
	}
	r := record{
		kind: header[0],
		a:    binary.LittleEndian.Uint32(header[4:]),
		b:    binary.LittleEndian.Uint32(header[8:]),
		time: int64(binary.LittleEndian.Uint64(header[12:])),
		end:  at + recordHeader,
	}
	switch r.kind {
	case kindSettled:
	case kindData:
		r.end += int64(r.a)
	default:
		return record{}, errors.New("unknown kind of record")
	}
	if r.end > end {
		return record{}, io.ErrUnexpectedEOF
	}
	r.payload = make([]byte, r.end-at-recordHeader)
	if _, err := s.file.ReadAt(r.payload, at+recordHeader); err != nil {
		return record{}, err
	}
	if checksum(header[:recordHeader-4], r.payload) != binary.LittleEndian.Uint32(header[recordHeader-4:]) {
		return record{}, errors.New("record is damaged")
	}
	return r, nil
}

// run gives the next frames that nobody has answered for, without moving on; nil: there are none.
func (s *segment) run() ([]byte, error) {
	for {
		for len(s.settled) > 0 && s.settled[0].to <= s.at {
			s.settled = s.settled[1:]
		}
		if len(s.payload) > 0 {
			if len(s.settled) == 0 || s.settled[0].from >= s.at+int64(len(s.payload)) {
				return s.payload, nil
			}
			if from := s.settled[0].from; from > s.at {
				return s.payload[:from-s.at], nil
			}
			s.skip(int(min(s.settled[0].to-s.at, int64(len(s.payload)))))
			continue
		}
		if s.next >= s.size {
			return nil, nil
		}
		r, err := s.readRecord(s.next, s.size)
		if err != nil {
			return nil, fmt.Errorf("read segment: %w", err)
		}
		s.at = s.next + recordHeader
		s.payload, s.written, s.next = r.payload, r.time, r.end
	}
}

func (s *segment) skip(size int) {
	s.payload = s.payload[size:]
	s.at += int64(size)
}

// append adds n frames. When it fails the file is as it was.
func (s *segment) append(frames []byte, n int) error {
	if err := s.write(kindData, uint32(len(frames)), uint32(n), frames); err != nil {
		return err
	}
	s.unread += n
	s.bytes += int64(len(frames))
	return nil
}

// settle notes that e has been answered for.
func (s *segment) settle(e extent) error {
	return s.write(kindSettled, uint32(e.from), uint32(e.to), nil)
}

func (s *segment) write(kind byte, a, b uint32, payload []byte) error {
	buf := binary.LittleEndian.AppendUint32(make([]byte, 0, recordHeader), uint32(kind))
	buf = binary.LittleEndian.AppendUint32(buf, a)
	buf = binary.LittleEndian.AppendUint32(buf, b)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(time.Now().Unix()))
	sum := checksum(buf, payload)
	_, err := s.file.WriteAt(binary.LittleEndian.AppendUint32(buf, sum), s.size)
	if err == nil && len(payload) > 0 {
		_, err = s.file.WriteAt(payload, s.size+recordHeader)
	}
	if err != nil {
		_ = s.file.Truncate(s.size) // what is left there is no whole record anyway
		return fmt.Errorf("write segment: %w", err)
	}
	s.size += recordHeader + int64(len(payload))
	return nil
}

// pop moves frames to the end of buf: at most maxEntries, at most maxBytes in buf. part is where they stood. The frames
// of records written before oldest, in seconds since 1970, are not moved; expired is their number.
func (s *segment) pop(buf []byte, maxEntries, maxBytes int, oldest int64) (out []byte, n int, part extent, expired int, err error) {
	for n < maxEntries {
		run, err := s.run()
		if err != nil || run == nil {
			return buf, n, part, expired, err
		}
		if s.written < oldest {
			_, count := cutFrames(run, math.MaxInt, math.MaxInt)
			err := s.settle(extent{s.at, s.at + int64(len(run))})
			s.take(len(run), count)
			expired += count
			if err != nil {
				return buf, n, part, expired, err
			}
			continue
		}
		size, count := cutFrames(run, maxEntries-n, maxBytes-len(buf))
		if count == 0 {
			break
		}
		if n == 0 {
			part.from = s.at
		}
		buf = append(buf, run[:size]...)
		n += count
		s.take(size, count)
		part.to = s.at
	}
	return buf, n, part, expired, nil
}

func (s *segment) take(size, n int) {
	s.skip(size)
	s.unread -= n
	s.bytes -= int64(size)
}

// abandon gives up what has not been read, and says how much that was.
func (s *segment) abandon() (n int, size int64) {
	n, size = s.unread, s.bytes
	s.unread, s.bytes, s.payload, s.next = 0, 0, nil, s.size
	return n, size
}

// remove deletes the file. Batches that were read from it live on in memory.
func (s *segment) remove() {
	s.gone = true
	_ = os.Remove(s.path) // before the lock goes, so that nobody takes it over
	s.file.Close()
}
