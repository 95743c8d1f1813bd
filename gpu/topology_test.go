package gpu

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func names(n int) (out []UUID) {
	for i := range n {
		out = append(out, UUID(fmt.Sprintf("GPU-%02d", i)))
	}
	return out
}

// pairs joins 0-1, 2-3, ... by links and 0-3, 4-7, ... by their NUMA node.
func pairs(n int) *Topology {
	return NewTopology(names(n), func(i, j int) int {
		switch {
		case i/2 == j/2:
			return LinkScore(4, AncestorSwitch)
		case i/4 == j/4:
			return LinkScore(0, AncestorNUMA)
		}
		return LinkScore(0, AncestorSystem)
	})
}

func TestBest(t *testing.T) {
	top := pairs(8)
	pick := func(is ...int) (out []UUID) {
		for _, i := range is {
			out = append(out, names(8)[i])
		}
		return out
	}
	all := names(8)
	for _, c := range []struct {
		name            string
		available, must []UUID
		n               int
		want            []UUID
	}{
		{"a pair", all, nil, 2, pick(0, 1)},
		{"the partner of the one that is a must", all, pick(5), 2, pick(4, 5)},
		{"four of one NUMA node", all, nil, 4, pick(0, 1, 2, 3)},
		{"two pairs of the node that is whole", pick(0, 2, 3, 4, 5, 6, 7), nil, 4, pick(4, 5, 6, 7)},
		{"one: that whose partner is gone", pick(0, 1, 2, 4, 5, 6, 7), nil, 1, pick(2)},
		{"three: a whole pair and a lone one near it", pick(0, 1, 2, 4, 5, 6, 7), nil, 3, pick(0, 1, 2)},
		{"order of the question does not matter", pick(7, 3, 6, 2), nil, 2, pick(2, 3)},
		{"all", pick(3, 1), nil, 2, pick(1, 3)},
		{"more than there are", pick(3, 1), nil, 5, pick(1, 3)},
		{"a must that is not available", pick(2, 3), pick(1), 2, pick(1, 2)},
		{"twice the same", pick(0, 0, 1, 1), pick(1), 2, pick(0, 1)},
		{"none", all, nil, 0, nil},
	} {
		if got := top.Best(c.available, c.must, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := top.Best([]UUID{"GPU-x", "GPU-y", "GPU-00", "GPU-01"}, nil, 2); !slices.Equal(got, pick(0, 1)) {
		t.Errorf("with unknown GPUs: %v", got)
	}
	if got := NewTopology(nil, nil).Best([]UUID{"b", "a", "c"}, nil, 2); !slices.Equal(got, []UUID{"a", "b"}) {
		t.Errorf("without knowledge: %v", got)
	}
}

// Best finds what trying every set finds, gives what it was asked for, and does not depend on the order.
func TestBestIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "gpus")
		all := names(n)
		scores := rapid.SliceOfN(rapid.IntRange(0, 5), n*n, n*n).Draw(t, "scores")
		top := NewTopology(all, func(i, j int) int { return scores[i*n+j] })
		k := rapid.IntRange(1, n).Draw(t, "n")
		must := all[:rapid.IntRange(0, k).Draw(t, "must")]
		got := top.Best(all, must, k)
		if len(got) != k {
			t.Fatalf("%d of %d", len(got), k)
		}
		for _, m := range must {
			if !slices.Contains(got, m) {
				t.Fatalf("%s is a must", m)
			}
		}
		inner := func(set []UUID) (s int) {
			for i, a := range set {
				for _, b := range set[i+1:] {
					s += top.Score(a, b)
				}
			}
			return s
		}
		for mask := range 1 << n {
			if bits.OnesCount(uint(mask)) != k || mask&(1<<len(must)-1) != 1<<len(must)-1 {
				continue
			}
			var set []UUID
			for i, u := range all {
				if mask>>i&1 == 1 {
					set = append(set, u)
				}
			}
			if inner(set) > inner(got) {
				t.Fatalf("%v with %d is better than %v with %d", set, inner(set), got, inner(got))
			}
		}
		turned := slices.Clone(all)
		slices.Reverse(turned)
		if again := top.Best(turned, must, k); !slices.Equal(again, got) {
			t.Fatalf("%v in another order is %v", got, again)
		}
	})
}

func TestBestOfMany(t *testing.T) {
	top := pairs(64)
	got := top.Best(names(64), nil, 8)
	if len(got) != 8 {
		t.Fatalf("%v", got)
	}
	for i := 0; i < 8; i += 2 {
		if top.Score(got[i], got[i+1]) < 400 {
			t.Errorf("%v is not made of pairs", got)
		}
	}
}

func TestLinksBetween(t *testing.T) {
	toB, toC, sw := Link{Remote: "b"}, Link{Remote: "c"}, Link{Remote: "s", Switch: true}
	for _, c := range []struct {
		a, b []Link
		want int
	}{
		{nil, nil, 0},
		{[]Link{toB, toB, toC}, []Link{toC}, 2},
		{[]Link{sw, sw, sw}, []Link{sw, sw}, 2},
		{[]Link{toC}, []Link{sw}, 0},
	} {
		if got := linksBetween(c.a, c.b, "b"); got != c.want {
			t.Errorf("%v to %v: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func BenchmarkBest(b *testing.B) {
	top := pairs(16)
	all := names(16)
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("%dof16", n), func(b *testing.B) {
			worst := time.Duration(0)
			for b.Loop() {
				began := time.Now()
				top.Best(all, nil, n)
				worst = max(worst, time.Since(began))
			}
			b.ReportMetric(float64(worst.Microseconds()), "us-worst")
		})
	}
}
