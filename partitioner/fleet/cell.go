package fleet

import (
	"math/bits"

	"github.com/gpulet/gpulet/partitioner/plan"
)

// state is one GPU as far as placing pods needs: equal GPUs of the whole cluster are one state. It is comparable.
type state struct {
	*ground
	base load // what claims, held and foreign instances, and what this round gave, take
	// exists are instances that may go, fresh those of them that did not expire, lent fixed ones that may be used, due what a
	// declared layout gives, existing or not.
	exists, fresh, offered, lent, due uint64
	on, slice, whole, touched         bool
	// kept: it counts among the GPUs that the policy keeps whole.
	kept  bool
	split int32
}

// cell is a state with the answers that were found; it is shared, and used by one goroutine at a time.
type cell struct {
	state
	memory  *memory
	answers []answer // by number of the resource
}

// answer is what one more device of a resource makes of a cell. next is nil where there is no room.
type answer struct {
	known bool
	cost  cost
	next  *cell
}

// cost orders ways to serve: idle instances destroyed, then modes changed, instances made, instances at places that were not offered,
// flexibility lost. The first difference decides. Costs add up.
type cost int64

const (
	costLoss   cost = 1
	costMove        = costLoss << 24
	costCreate      = costMove << 9
	costMode        = costCreate << 9
	costKill        = costMode << 7
	noWay      cost = 1<<63 - 1
)

// maxCells bounds the memory of states; beyond it all is forgotten and learned anew.
const maxCells = 60_000

// memory knows the states of the cluster's GPUs.
type memory struct {
	cells     map[state]*cell
	grounds   map[string]*ground
	resources []plan.Resource
	numbers   map[plan.Resource]int
	planner   *plan.Planner
}

func newMemory() *memory {
	return &memory{cells: map[state]*cell{}, grounds: map[string]*ground{}, numbers: map[plan.Resource]int{}, planner: plan.New()}
}

func (m *memory) cell(s state) *cell {
	if c := m.cells[s]; c != nil {
		return c
	}
	if len(m.cells) >= maxCells {
		clear(m.cells)
	}
	c := &cell{state: s, memory: m}
	m.cells[s] = c
	return c
}

func (m *memory) number(r plan.Resource) int {
	n, known := m.numbers[r]
	if !known {
		n = len(m.resources)
		m.numbers[r], m.resources = n, append(m.resources, r)
	}
	return n
}

func (c *cell) keeps() int {
	if c.kept {
		return 1
	}
	return 0
}

// give answers for one device of a resource.
func (c *cell) give(resource int) *answer {
	for len(c.answers) <= resource {
		c.answers = append(c.answers, answer{})
	}
	if a := &c.answers[resource]; a.known {
		return a
	}
	a := answer{known: true, cost: noWay}
	if r := c.memory.resources[resource]; r.Whole() {
		c.giveWhole(&a)
	} else {
		c.giveSlice(&a, r)
	}
	c.answers[resource] = a
	return &c.answers[resource]
}

func (c *cell) giveWhole(a *answer) {
	if !c.whole {
		return
	}
	a.cost = costKill * cost(bits.OnesCount64(c.fresh))
	if c.on {
		a.cost += costMode
	}
	a.next = c.memory.cell(c.taken())
}

// taken is the state of a GPU that was given as a whole.
func (s state) taken() state {
	s.exists, s.fresh, s.lent, s.due, s.slice, s.whole, s.kept, s.touched = 0, 0, 0, 0, false, false, true, true
	return s
}

func (c *cell) giveSlice(a *answer, r plan.Resource) {
	for _, set := range [...]uint64{c.lent, c.due} {
		if can := set & c.of[r.Profile]; can != 0 {
			i := bits.TrailingZeros64(can)
			next := c.state
			next.lent &^= 1 << i
			next.due &^= 1 << i
			a.cost, a.next = 0, c.memory.cell(next)
			return
		}
	}
	usable := c.exists
	if c.slice {
		usable |= c.allowed
	}
	before := c.flexibility()
	for rest := usable & c.of[r.Profile]; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		if !c.fits(c.base, i) {
			continue
		}
		next := c.with(i)
		n := costKill * cost(bits.OnesCount64(c.fresh&^next.fresh&^(1<<i)))
		if !c.touched && !c.on {
			n += costMode
		}
		if c.exists>>i&1 == 0 {
			if n += costCreate; c.offered>>i&1 == 0 {
				n += costMove
			}
		}
		loss := before - next.flexibility()
		if c.whole {
			loss += max(c.split, 0)
		}
		if n += costLoss * cost(min(max(loss, 0), 1<<20)); n < a.cost {
			a.cost, a.next = n, c.memory.cell(next)
		}
	}
}

// with is the state after slot i was given; idle instances in its way are gone.
func (s state) with(i int) state {
	s.base = s.base.with(s.shape, i)
	s.exists &^= 1 << i
	s.lent &^= 1 << i
	s.due &^= 1 << i
	together, stay := s.base, uint64(0)
	for _, set := range [...]uint64{s.fresh, s.exists &^ s.fresh} {
		for rest := set & s.exists; rest != 0; rest &= rest - 1 {
			if j := bits.TrailingZeros64(rest); s.fits(together, j) {
				together, stay = together.with(s.shape, j), stay|1<<j
			}
		}
	}
	s.exists, s.fresh = stay, s.fresh&stay
	s.on, s.touched, s.whole, s.kept = true, true, false, false
	return s
}

// flexibility is the worth of all that could still be taken here.
func (s *state) flexibility() (worth int32) {
	usable := s.exists
	if s.slice {
		usable |= s.allowed
	}
	for rest := usable; rest != 0; rest &= rest - 1 {
		if i := bits.TrailingZeros64(rest); s.fits(s.base, i) {
			worth += s.worth[i]
		}
	}
	if s.whole {
		worth += int32(max(s.axis, 1))
	}
	return worth
}
