package xids

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
)

const (
	// again is how long a log that cannot be read is left alone.
	again = 30 * time.Second
	// look is between two looks at a file for what was added, and between two tries to find a GPU.
	look = time.Second
	// patience is how long a line waits for its GPU to be known; maxWaiting bounds the lines that do.
	patience = time.Minute
	// oneException is how near to each other the lines of one graphics exception are.
	oneException = time.Second
	maxWaiting   = 256
)

// ReaderConfig is what a Reader needs.
type ReaderConfig struct {
	// Path is /dev/kmsg, or a file that grows; with an empty one, no log is read.
	Path string
	// Find gives the GPU at a place, false while none is known there.
	Find func(Place) (gpu.UUID, bool)
	// Count takes each error, with when it was read. It must not block.
	Count func(uuid gpu.UUID, l Line, at time.Time)
	// Log may be nil.
	Log *slog.Logger
	// Clock is for the time of an error; time.Now when nil.
	Clock func() time.Time
}

// Reader finds XID errors in the kernel log from when it runs: what was logged before was counted by another process.
type Reader struct {
	cfg  ReaderConfig
	open func(path string) (file, error)

	unread  bool      // all of a file that is opened next was written since we began; Run's goroutine
	waiting []waiting // Run's goroutine
	// graphics is when the last line of a graphics exception came; Run's goroutine
	graphics map[Place]time.Time

	mu     sync.Mutex
	reason string // why nothing is read, empty when all is well; guarded by mu
	errors uint64 // guarded by mu
}

// waiting is a line whose GPU is not known yet.
type waiting struct {
	Line
	at time.Time
}

// NewReader makes a reader; nothing is opened before Run.
func NewReader(c ReaderConfig) *Reader {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	r := &Reader{cfg: c, open: openLog, graphics: map[Place]time.Time{}, reason: "the kernel log was not opened yet"}
	if c.Path == "" {
		r.reason = "no kernel log is configured"
	}
	return r
}

// InSnapshot finds GPUs in the newest inventory.
func InSnapshot(snapshots *gpu.Feed[*gpu.Snapshot]) func(Place) (gpu.UUID, bool) {
	return func(p Place) (gpu.UUID, bool) {
		s, _ := snapshots.Get()
		if s == nil {
			return "", false
		}
		for i := range s.GPUs {
			g := &s.GPUs[i]
			if p.PCI != "" && p.PCI == g.PCI || p.UUID != "" && strings.EqualFold(string(p.UUID), string(g.UUID)) {
				return g.UUID, true
			}
		}
		return "", false
	}
}

// State says whether the log is being read, and otherwise why not.
func (r *Reader) State() (ok bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason == "", r.reason
}

// Source is the state as a source of measurements. A log that is followed is fresh, however little is logged.
func (r *Reader) Source() sample.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := sample.Source{Name: "kmsg", Unused: r.cfg.Path == "", Reason: r.reason}
	if r.reason == "" {
		s.Last = r.cfg.Clock()
	}
	if r.errors > 0 {
		s.Errors = map[gpu.AbsenceCode]uint64{gpu.Failed: r.errors}
	}
	return s
}

// Run reads until ctx ends. What keeps it from reading is tried again every 30 s.
func (r *Reader) Run(ctx context.Context) error {
	if r.cfg.Path == "" {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		err := r.read(ctx)
		if ctx.Err() != nil || errors.Is(err, errReplaced) {
			continue
		}
		r.fail(err)
		r.pause(ctx, again)
	}
	return nil
}

// fail takes note of why nothing is read.
func (r *Reader) fail(err error) {
	reason := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.unread = true
		reason = fmt.Sprintf("there is no %s", r.cfg.Path)
	case errors.Is(err, fs.ErrPermission):
		reason = fmt.Sprintf("%s may not be read: it takes the capability SYSLOG", r.cfg.Path)
	}
	r.mu.Lock()
	r.errors++
	r.mu.Unlock()
	r.state(reason)
}

// state sets the reason and logs it when it is a new one.
func (r *Reader) state(reason string) {
	r.mu.Lock()
	was := r.reason
	r.reason = reason
	r.mu.Unlock()
	switch {
	case was == reason:
	case reason == "":
		r.cfg.Log.Info("the kernel log is read", "path", r.cfg.Path)
	default:
		r.cfg.Log.Warn("the kernel log is not read: XIDs are counted from the driver's events alone", "path", r.cfg.Path, "reason", reason)
	}
}

// take takes a line of the log.
func (r *Reader) take(text string) {
	l, ok := ParseLine(text)
	if !ok {
		return
	}
	w := waiting{l, r.cfg.Clock()}
	if l.Graphics {
		last, before := r.graphics[l.Place]
		r.graphics[l.Place] = w.at
		if before && w.at.Sub(last) < oneException {
			return
		}
	}
	switch {
	case r.count(w):
	case len(r.waiting) < maxWaiting:
		r.waiting = append(r.waiting, w)
	default:
		r.drop(w)
	}
}

// count is false while the GPU is not known.
func (r *Reader) count(w waiting) bool {
	uuid, ok := r.cfg.Find(w.Place)
	if ok {
		r.cfg.Count(uuid, w.Line, w.at)
	}
	return ok
}

// settle tries again what waits. Without this, errors from before the first inventory would be lost.
func (r *Reader) settle() {
	var left []waiting
	for _, w := range r.waiting {
		switch {
		case r.count(w):
		case r.cfg.Clock().Sub(w.at) < patience:
			left = append(left, w)
		default:
			r.drop(w)
		}
	}
	r.waiting = left
}

func (r *Reader) drop(w waiting) {
	r.cfg.Log.Warn("an XID of a GPU that is not known", "pci", w.Place.PCI, "uuid", w.Place.UUID, "xid", w.Code)
}

// pause waits, and settles meanwhile what waits for its GPU.
func (r *Reader) pause(ctx context.Context, d time.Duration) {
	for ; d > 0 && ctx.Err() == nil; d -= look {
		r.settle()
		timer := time.NewTimer(min(d, look))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
