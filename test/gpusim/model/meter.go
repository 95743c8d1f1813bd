package model

import (
	"math"
	"time"
)

// meter sums activity over time: percent·s, bytes, joules.
type meter struct {
	at  time.Time
	sum activity
}

const (
	stepsMax = 128 // of one catching up
	stepTime = 250 * time.Millisecond
	heatTime = 20 * time.Second // how fast a GPU warms up
)

// advance brings the GPU's sums up to now. Whatever changes the activity calls it first.
func (n *Node) advance(g *gpu) {
	now := n.clock.Now()
	dt := now.Sub(g.meter.at)
	if dt <= 0 {
		return
	}
	steps := min(max(int(dt/stepTime), 1), stepsMax)
	step := dt / time.Duration(steps)
	for i := range steps {
		if i == steps-1 {
			step = dt - step*time.Duration(steps-1)
		}
		mid, s := g.meter.at.Add(step/2), step.Seconds()
		for _, gi := range g.instances {
			gi.meter.sum.add(gi.activity(mid), s)
			gi.meter.at = g.meter.at.Add(step)
			for _, ci := range gi.cis {
				ci.meter.sum.add(ci.activity(mid), s)
				ci.meter.at = gi.meter.at
			}
		}
		a := g.activity(mid)
		g.meter.sum.add(a, s)
		g.meter.at = g.meter.at.Add(step)
		busy := (a[actWatts] - float64(g.spec.idleW)) / math.Max(1, float64(g.spec.limitW-g.spec.idleW))
		g.heat += (busy - g.heat) * (1 - math.Exp(-s/heatTime.Seconds()))
		for _, p := range g.procs {
			p.smSeconds += g.processActivity(p, mid)[actSM] / 100 * s
			p.memSeconds += g.processActivity(p, mid)[actDRAM] / 100 * s
		}
	}
}

// activity of a GPU at t, with its power.
func (g *gpu) activity(t time.Time) activity {
	var a activity
	if g.mig {
		for _, gi := range g.instances {
			b := gi.activity(t)
			for i := range a {
				switch {
				case i <= actDecoder && i == actDRAM:
					a[i] += b[i] * float64(gi.profile.size) / float64(g.spec.axis)
				case i <= actDecoder:
					a[i] += b[i] * float64(gi.profile.sms) / float64(g.spec.sms)
				default:
					a[i] += b[i]
				}
			}
		}
	} else {
		a = g.shared(&g.load, nil, t, 1)
	}
	g.power(&a)
	a[actSeconds] = 1
	return a
}

// power sets the watts and whether the limit caps them.
func (g *gpu) power(a *activity) {
	idle, limit := float64(g.spec.idleW), float64(g.limitMW)/1000
	want := idle + (float64(g.spec.limitW)-idle)*(0.6*a[actSM]+0.25*a[actDRAM]+0.25*a[actTensor])/100
	a[actWatts], a[actPowerCap] = math.Min(want, limit), 0
	if want > limit {
		a[actPowerCap] = 1
	}
}

func (gi *gpuInstance) activity(t time.Time) activity {
	var a activity
	if gi.load.on && !gi.ciLoads() {
		a = gi.g.shared(&gi.load, func(p *process) bool { return p.gi == gi }, t, gi.share())
	} else {
		for _, ci := range gi.cis {
			b := ci.activity(t)
			part := float64(ci.profile.slices) / float64(gi.profile.slices)
			for i := range a {
				if i <= actDecoder {
					a[i] += b[i] * part
				} else {
					a[i] += b[i]
				}
			}
		}
	}
	a[actSeconds] = 1
	return a
}

func (gi *gpuInstance) ciLoads() bool {
	for _, ci := range gi.cis {
		if ci.load.on {
			return true
		}
	}
	return false
}

func (gi *gpuInstance) share() float64 { return float64(gi.profile.sms) / float64(gi.g.spec.sms) }

func (ci *computeInstance) activity(t time.Time) activity {
	l := &ci.load
	if !l.on {
		l = &ci.gi.load
	}
	if !l.on {
		l = &ci.gi.g.load
	}
	share := float64(ci.profile.sms) / float64(ci.gi.g.spec.sms)
	a := ci.gi.g.shared(l, func(p *process) bool { return p.ci == ci }, t, share)
	a[actSeconds] = 1
	return a
}

// shared is the activity of a target: its load, or the sum of its processes, at most 100 %.
func (g *gpu) shared(l *loadState, mine func(*process) bool, t time.Time, share float64) activity {
	if l.on {
		return g.activityOf(l.level(t), l.Mix, share)
	}
	var a activity
	for _, p := range g.procs {
		if mine == nil || mine(p) {
			a.add(g.processDemand(p, share), 1)
		}
	}
	if over := a[actSM] / 100; over > 1 {
		for i := range a {
			a[i] /= over
		}
	}
	for i := actGraphics; i <= actDecoder; i++ {
		a[i] = math.Min(a[i], 100)
	}
	return a
}

// temperature of the core and of the memory, Celsius.
func (g *gpu) temperature() (core, memory float64) {
	core = g.spec.idleC + (g.spec.busyC-g.spec.idleC)*g.heat
	return core, core + 8
}
