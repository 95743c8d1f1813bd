package plan

import (
	"math"
	"slices"
)

// bound tells the least that it can still cost to give something from a site on. It never says too much; the closer it comes,
// the fewer ways are followed. Each part of the cost is bounded for itself: creations by what is not in stock, destroys and
// changes of mode by the room that there is without them, flexibility by prices that no option undercuts.
type bound struct {
	stock  []vec     // what exists at sites i and after
	prices [][]int64 // by site, of one device that does not exist, in fractions of a unit
	base   []int64   // the loss that sites i and after have in any case
	sizes  [][]int64
	sliced [][]int64 // the same, of slices alone
	kills  [][]ease  // by measure of size and site
	modes  [][]ease
}

// fraction is the unit of prices.
const fraction = 64

// ease is how much can be made at sites i and after: room for nothing, and at most so much more for each unit of a cost.
type ease struct{ room, more int64 }

func newBound(options [][]option, stock []vec, kinds kinds, sizes [][]int64) *bound {
	n := len(options)
	b := &bound{stock: make([]vec, n+1), prices: make([][]int64, n+1), base: make([]int64, n+1), sizes: sizes}
	lost := make([]int64, n) // of each site, in any case
	for g := n - 1; g >= 0; g-- {
		lost[g] = math.MaxInt64
		for _, o := range options[g] {
			lost[g] = min(lost[g], o.cost%costMove)
		}
		b.base[g] = b.base[g+1] + lost[g]
		b.stock[g] = b.stock[g+1].plus(stock[g])
	}
	for _, size := range sizes {
		b.kills = append(b.kills, eases(options, size, func(c int64) int64 { return c / costKill }))
		sliced := slices.Clone(size) // whole GPUs would count as room that needs no change of mode
		for k, r := range kinds {
			if r.Whole() || r == kept() {
				sliced[k] = 0
			}
		}
		b.sliced = append(b.sliced, sliced)
		b.modes = append(b.modes, eases(options, sliced, func(c int64) int64 { return c / costMode & 0x7f }))
	}
	b.price(options, lost, kinds, sizes[0])
	return b
}

// eases sums up one cost of the options from each site on.
func eases(options [][]option, size []int64, of func(int64) int64) []ease {
	out := make([]ease, len(options)+1)
	for g := len(options) - 1; g >= 0; g-- {
		room := int64(0)
		for _, o := range options[g] {
			if of(o.cost) == 0 {
				room = max(room, o.made.dot(size))
			}
		}
		more := out[g+1].more
		for _, o := range options[g] {
			if n := of(o.cost); n > 0 {
				more = max(more, (o.made.dot(size)-room+n-1)/n)
			}
		}
		out[g] = ease{out[g+1].room + room, more}
	}
	return out
}

// need is how many units of the cost it takes to make so much.
func (e ease) need(size int64) int64 {
	if size <= e.room || e.more == 0 {
		return 0 // where it cannot be made at all, others say so
	}
	return (size - e.room + e.more - 1) / e.more
}

// price makes the prices: first alike by size, then each kind's as high as the options let it.
func (b *bound) price(options [][]option, lost []int64, kinds kinds, size []int64) {
	var order []int
	for k := range kinds {
		order = append(order, k)
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(size[b] - size[a]) })
	type ask struct {
		made vec
		loss int64 // in fractions, less what the prices explain
	}
	asks := make([][]ask, len(options))
	each := int64(math.MaxInt64)
	for g := range options {
		for _, o := range options[g] {
			if o.made == (vec{}) {
				continue
			}
			a := ask{o.made, (o.cost%costMove - lost[g]) * fraction}
			asks[g] = append(asks[g], a)
			each = min(each, a.loss/o.made.dot(size))
		}
	}
	prices := make([]int64, len(kinds))
	if each != math.MaxInt64 {
		for k := range prices {
			prices[k] = each * size[k]
		}
	}
	for g := range asks {
		for i := range asks[g] {
			asks[g][i].loss -= asks[g][i].made.dot(prices)
		}
	}
	for g := range b.prices {
		for _, k := range order {
			rise := int64(math.MaxInt64)
			for _, site := range asks[min(g, len(asks)):] {
				for i := range site {
					if n := int64(site[i].made.at(k)); n > 0 {
						rise = min(rise, site[i].loss/n)
					}
				}
			}
			if rise == math.MaxInt64 || rise <= 0 {
				continue
			}
			prices[k] += rise
			for _, site := range asks[min(g, len(asks)):] {
				for i := range site {
					site[i].loss -= rise * int64(site[i].made.at(k))
				}
			}
		}
		b.prices[g] = slices.Clone(prices)
		for k, r := range kinds {
			if !r.Whole() && r != kept() {
				b.prices[g][k] += costCreate * fraction
			}
		}
	}
}

// least is the least that it costs to give the rest from site g on, or anything above enough once it is more than that.
func (b *bound) least(g int, rest vec, enough int64) int64 {
	missing := rest.minus(b.stock[g])
	if missing == (vec{}) {
		return b.base[g]
	}
	sum := b.base[g] + missing.dot(b.prices[g])/fraction
	if sum > enough {
		return sum
	}
	kills, modes := int64(0), int64(0)
	for m, size := range b.sizes {
		kills = max(kills, b.kills[m][g].need(missing.dot(size)))
		modes = max(modes, b.modes[m][g].need(missing.dot(b.sliced[m])))
	}
	return sum + kills*costKill + modes*costMode
}
