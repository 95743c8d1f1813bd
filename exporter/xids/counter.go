// Package xids counts XID errors by GPU and code, from the driver's events and from the kernel log, where the same errors appear.
// It owns the counts since the start of the process and the reader of the kernel log. It never judges health, and never
// calls the driver.
package xids

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gpulet/gpulet/exporter/sample"
	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/gpu/xid"
)

const (
	// anyCode is the code, and anyClass the class, of the row that totals a GPU's errors.
	anyCode  = 0
	anyClass = "any"
	// maxCodes bounds the codes that are told apart on one GPU; the driver knows far fewer. The rest is in the total alone.
	maxCodes = 256
)

// Counter counts. Its methods may be called from any goroutine, and none of them waits.
type Counter struct {
	catalogue xid.Catalogue
	log       *slog.Logger

	mu   sync.Mutex
	gpus map[gpu.UUID]map[uint64]*count // guarded by mu; each GPU has anyCode, for what has no count of its own
}

// count is what the two sources saw of one code. Each may miss some: the driver hands over one event where several came
// together, and the kernel log is overwritten, or not to be read.
type count struct {
	events, kernel uint64
	last           time.Time
}

// total is how many there were at least.
func (c *count) total() uint64 { return max(c.events, c.kernel) }

// New makes a counter; log may be nil.
func New(catalogue xid.Catalogue, log *slog.Logger) *Counter {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Counter{catalogue: catalogue, log: log, gpus: map[gpu.UUID]map[uint64]*count{}}
}

// SetGPUs names the GPUs of the node, so that each has its total, of 0, before its first error: what begins with 1 has not
// increased for Prometheus. A GPU that was named once stays.
func (c *Counter) SetGPUs(uuids []gpu.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range uuids {
		c.codes(u)
	}
}

// codes finds the counts of a GPU; mu is held.
func (c *Counter) codes(uuid gpu.UUID) map[uint64]*count {
	codes := c.gpus[uuid]
	if codes == nil {
		codes = map[uint64]*count{anyCode: {}}
		c.gpus[uuid] = codes
	}
	return codes
}

// Event counts an event of the driver.
func (c *Counter) Event(uuid gpu.UUID, code uint64, at time.Time) {
	c.add(uuid, code, at, "driver", func(n *count) { n.events++ })
}

// Kmsg counts a line of the kernel log.
func (c *Counter) Kmsg(uuid gpu.UUID, code uint64, at time.Time) {
	c.add(uuid, code, at, "kernel log", func(n *count) { n.kernel++ })
}

func (c *Counter) add(uuid gpu.UUID, code uint64, at time.Time, from string, bump func(*count)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	codes := c.codes(uuid)
	n := codes[code]
	if n == nil && len(codes) > maxCodes {
		n = codes[anyCode]
	}
	if n == nil {
		n = &count{}
		codes[code] = n
		e := c.catalogue.Lookup(code)
		c.log.Info("first XID of this code", "gpu", uuid, "xid", code, "name", e.Name, "class", e.Class.String(), "from", from)
	}
	bump(n)
	if at.After(n.last) {
		n.last = at
	}
}

// Counts are the counts in the order of the GPUs' UUIDs and the codes. The total of a GPU comes first, with the code 0 and the
// class "any". No count ever falls.
func (c *Counter) Counts() []sample.XID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []sample.XID
	for _, uuid := range slices.Sorted(maps.Keys(c.gpus)) {
		first := len(out)
		out = append(out, sample.XID{GPU: uuid, Code: anyCode, Class: anyClass})
		sum := sample.XID{GPU: uuid, Code: anyCode, Class: anyClass}
		for code, n := range c.gpus[uuid] {
			sum.Count += n.total()
			if n.last.After(sum.Last) {
				sum.Last = n.last
			}
			if code != anyCode {
				out = append(out, sample.XID{GPU: uuid, Code: code, Class: c.catalogue.Lookup(code).Class.String(), Count: n.total(), Last: n.last})
			}
		}
		out[first] = sum
		slices.SortFunc(out[first:], func(a, b sample.XID) int { return cmp.Compare(a.Code, b.Code) })
	}
	return out
}
