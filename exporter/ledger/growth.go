package ledger

import "time"

const (
	// growthWindow is how far back memory is compared: as long after it last grew, a container counts as loading.
	growthWindow = 30 * time.Second
	// growthSpacing bounds what is remembered when steps are frequent.
	growthSpacing = time.Second
	// noise is by how much memory may grow without meaning anything.
	noise = 16 << 20
	// freshFor is for how long a container that has no memory yet is taken to be starting.
	freshFor = time.Minute
)

// growth remembers how much memory a container lately used of an entity.
type growth struct {
	step uint64    // the ledger's last step in which the container had the entity
	born time.Time // when the container got it
	past []used    // the oldest first; none is older than growthWindow
}

type used struct {
	at    time.Time
	bytes float64
}

// begin is for a container that holds an entity since born, and is seen for the first time at now.
func begin(born, now time.Time) *growth {
	if born.IsZero() || born.After(now) { // not known, or the clock was set back
		return &growth{born: now}
	}
	g := &growth{born: born}
	if now.Sub(born) < growthWindow {
		g.past = append(g.past, used{at: born}) // nothing, before it was given
	}
	return g
}

// loading takes what is used now and reports whether it is filling. known is false when bytes is not.
func (g *growth) loading(now time.Time, bytes float64, known bool) bool {
	fresh := now.Sub(g.born) < freshFor
	if !known {
		return fresh
	}
	old := 0
	for old < len(g.past) && now.Sub(g.past[old].at) > growthWindow {
		old++
	}
	g.past = g.past[old:]
	grew := false
	for _, p := range g.past {
		grew = grew || bytes > p.bytes+noise
	}
	if n := len(g.past); n == 0 || now.Sub(g.past[n-1].at) >= growthSpacing {
		g.past = append(g.past, used{now, bytes})
	}
	return grew || fresh && bytes <= noise
}
