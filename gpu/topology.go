package gpu

import (
	"cmp"
	"math"
	"slices"
)

// Topology says how well GPUs are connected with each other. It is immutable.
type Topology struct {
	uuids  []UUID
	at     map[UUID]int
	scores []int // len(uuids) squared
}

// NewTopology keeps the scores of all pairs; score is asked once for each i < j and may be nil.
func NewTopology(uuids []UUID, score func(i, j int) int) *Topology {
	n := len(uuids)
	t := &Topology{uuids: slices.Clone(uuids), at: make(map[UUID]int, n), scores: make([]int, n*n)}
	for i, u := range uuids {
		t.at[u] = i
	}
	for i := range n {
		for j := i + 1; j < n && score != nil; j++ {
			s := max(score(i, j), 0)
			t.scores[i*n+j], t.scores[j*n+i] = s, s
		}
	}
	return t
}

// LinkScore is the score of a pair: every NVLink counts more than any PCIe path, and the closer path more than the farther.
func LinkScore(links int, a Ancestor) int {
	return 100*links + max(0, 60-int(a))
}

// Score is how well two GPUs are connected: the higher the better, 0 when one is not known.
func (t *Topology) Score(a, b UUID) int {
	i, okA := t.at[a]
	j, okB := t.at[b]
	if !okA || !okB {
		return 0
	}
	return t.scores[i*len(t.uuids)+j]
}

// choiceLimit is how many sets Best looks at before it goes greedy: all halves of 16 GPUs.
const choiceLimit = 13000

// Best chooses n of the available GPUs with all of must: the set whose members are best connected; among equals the one
// whose loss hurts the connections of the rest least, so that groups stay whole; among those the first in order.
// GPUs that the topology does not know count as unconnected. With n or fewer to choose from it takes all.
func (t *Topology) Best(available, must []UUID, n int) []UUID {
	c := t.choice(available, must, n)
	if len(c.uuids) <= n || c.musts >= n {
		out := c.uuids[:min(len(c.uuids), max(n, c.musts))]
		slices.SortFunc(out, t.order)
		return out
	}
	if sets(len(c.uuids)-c.musts, n-c.musts) <= choiceLimit {
		c.search(c.musts)
	} else {
		c.greedy()
	}
	out := make([]UUID, 0, n)
	for _, i := range c.best {
		out = append(out, c.uuids[i])
	}
	slices.SortFunc(out, t.order)
	return out
}

// order is the order of the topology, and by name for those that it does not know.
func (t *Topology) order(a, b UUID) int {
	rank := func(u UUID) int {
		if i, ok := t.at[u]; ok {
			return i
		}
		return math.MaxInt
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// choice is one run of Best.
type choice struct {
	n      int
	musts  int    // the first so many of uuids are a must
	uuids  []UUID // all candidates
	scores []int
	totals []int // of each candidate to all others

	picked         []int
	inner, total   int // of picked: the scores inside, and of its members to all
	best           []int
	bestIn, bestTo int
}

func (t *Topology) choice(available, must []UUID, n int) *choice {
	c := &choice{n: n, bestIn: -1}
	seen := map[UUID]bool{}
	for _, list := range [][]UUID{must, available} {
		var part []UUID
		for _, u := range list {
			if !seen[u] {
				seen[u] = true
				part = append(part, u)
			}
		}
		slices.SortFunc(part, t.order)
		c.uuids = append(c.uuids, part...)
		if c.musts == 0 {
			c.musts = len(c.uuids)
		}
		if len(must) == 0 {
			c.musts = 0
		}
	}
	k := len(c.uuids)
	c.scores, c.totals = make([]int, k*k), make([]int, k)
	for i, a := range c.uuids {
		for j, b := range c.uuids {
			if i != j {
				c.scores[i*k+j] = t.Score(a, b)
				c.totals[i] += c.scores[i*k+j]
			}
		}
	}
	for i := range c.musts {
		c.push(i)
	}
	return c
}

// gain is what a candidate adds to the scores inside.
func (c *choice) gain(i int) (sum int) {
	row := c.scores[i*len(c.uuids):]
	for _, p := range c.picked {
		sum += row[p]
	}
	return sum
}

func (c *choice) push(i int) {
	c.inner += c.gain(i)
	c.total += c.totals[i]
	c.picked = append(c.picked, i)
}

func (c *choice) pop() {
	i := c.picked[len(c.picked)-1]
	c.picked = c.picked[:len(c.picked)-1]
	c.inner -= c.gain(i)
	c.total -= c.totals[i]
}

// judge keeps the picked set if it is better than the best so far. What its members have to the outside is total - 2*inner,
// so among sets with the same inside the least total cuts least.
func (c *choice) judge() {
	if c.inner > c.bestIn || c.inner == c.bestIn && c.total < c.bestTo {
		c.best, c.bestIn, c.bestTo = slices.Clone(c.picked), c.inner, c.total
	}
}

// search looks at every set.
func (c *choice) search(from int) {
	if len(c.picked) == c.n {
		c.judge()
		return
	}
	for i := from; i <= len(c.uuids)-(c.n-len(c.picked)); i++ {
		c.push(i)
		c.search(i + 1)
		c.pop()
	}
}

// greedy grows a set from each candidate by the best next one.
func (c *choice) greedy() {
	for seed := c.musts; seed < len(c.uuids); seed++ {
		depth := len(c.picked)
		in := make([]bool, len(c.uuids))
		in[seed] = true
		c.push(seed)
		for len(c.picked) < c.n {
			next, most, least := -1, -1, 0
			for i := c.musts; i < len(c.uuids); i++ {
				if in[i] {
					continue
				}
				if g := c.gain(i); g > most || g == most && c.totals[i] < least {
					next, most, least = i, g, c.totals[i]
				}
			}
			in[next] = true
			c.push(next)
		}
		c.judge()
		for len(c.picked) > depth {
			c.pop()
		}
	}
}

// sets is n over k, or more than choiceLimit.
func sets(n, k int) int {
	k = min(k, n-k)
	out := 1
	for i := range k {
		out = out * (n - i) / (i + 1)
		if out > choiceLimit {
			return out
		}
	}
	return out
}
