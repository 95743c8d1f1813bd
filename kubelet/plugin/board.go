package plugin

import (
	"cmp"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gpulet/gpulet/gpu"
)

// board shows the states of all resources.
type board struct {
	feed  *gpu.Feed[[]State]
	gauge *prometheus.GaugeVec // 1 for each resource that is registered
	mu    sync.Mutex
	cells map[string]*cell // guarded by mu
}

// cell is one resource's place on the board. What is written into a cell that was removed is not shown.
type cell struct {
	board *board
	state State // guarded by board.mu
}

func newBoard(registered *prometheus.GaugeVec) *board {
	return &board{gauge: registered, feed: gpu.NewFeed[[]State](nil), cells: map[string]*cell{}}
}

func (b *board) add(s State) *cell {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &cell{board: b, state: s}
	b.cells[s.Resource] = c
	b.publish()
	return c
}

func (b *board) remove(resource string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.cells, resource)
	b.gauge.DeleteLabelValues(resource)
	b.publish()
}

// publish needs mu.
func (b *board) publish() {
	out := make([]State, 0, len(b.cells))
	for _, c := range b.cells {
		out = append(out, c.state)
		registered := 0.0
		if c.state.Registered {
			registered = 1
		}
		b.gauge.WithLabelValues(c.state.Resource).Set(registered)
	}
	slices.SortFunc(out, func(x, y State) int { return cmp.Compare(x.Resource, y.Resource) })
	b.feed.Set(out)
}

func (c *cell) set(f func(s *State)) {
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	was := c.state
	f(&c.state)
	if c.state != was && c.board.cells[c.state.Resource] == c {
		c.board.publish()
	}
}
