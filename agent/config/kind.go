package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind is what a setting takes.
type Kind int

// The kinds. Lists are written as lists in a file (one value may stand alone), with commas in flags and the environment.
const (
	Group Kind = iota // holds other settings
	Text
	Bool
	Int
	Duration
	Enum
	Texts
	Enums
	Ints
	Number // with decimals
)

func (k Kind) list() bool { return k == Texts || k == Enums || k == Ints }

func (k Kind) String() string {
	names := [...]string{"group", "text", "true or false", "number", "duration", "word", "list of texts", "list of words", "list of numbers", "number with decimals"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// values are what a setting was given, each checked.
type values []string

func (v values) text() string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

func (v values) bool() bool { return v.text() == "true" }

func (v values) int() int {
	n, _ := strconv.Atoi(v.text())
	return n
}

func (v values) number() float64 {
	n, _ := strconv.ParseFloat(v.text(), 64)
	return n
}

func (v values) duration() time.Duration {
	d, _ := time.ParseDuration(v.text())
	return d
}

func (v values) numbers() (out []int) {
	for _, s := range v {
		n, _ := strconv.Atoi(s)
		out = append(out, n)
	}
	return out
}

// texts is a copy, nil when empty.
func (v values) texts() []string {
	if len(v) == 0 {
		return nil
	}
	return slices.Clone(v)
}

// check says what is wrong with one value of a setting.
func (s *Setting) check(v string) error {
	switch s.Kind {
	case Group:
		return errors.New("it holds other settings")
	case Bool:
		if v != "true" && v != "false" {
			return fmt.Errorf("%q: want true or false", v)
		}
	case Int, Ints:
		n, err := strconv.Atoi(v)
		if err != nil || strconv.Itoa(n) != v {
			return fmt.Errorf("%q: want a whole number", v)
		}
		if int64(n) < s.Min || int64(n) > s.Max {
			return fmt.Errorf("%d is out of range: want %d to %d", n, s.Min, s.Max)
		}
	case Number:
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(n) {
			return fmt.Errorf("%q: want a number such as 0.05", v)
		}
		if n < float64(s.Min) || n > float64(s.Max) {
			return fmt.Errorf("%s is out of range: want %d to %d", v, s.Min, s.Max)
		}
	case Duration:
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("%q: want a duration such as 30s or 5m", v)
		}
		if int64(d) < s.Min || int64(d) > s.Max {
			return fmt.Errorf("%s is out of range: want %s to %s", d, time.Duration(s.Min), time.Duration(s.Max))
		}
	case Enum, Enums:
		if !slices.Contains(s.Values, v) {
			return fmt.Errorf("%q is not valid: %s", v, wanted(v, s.Values))
		}
	case Text, Texts:
		if strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%q: it holds a character that cannot be printed", v)
		}
		if s.valid != nil && (v != "" || s.Kind == Texts) {
			return s.valid(v)
		}
	}
	return nil
}

// split reads the text of a flag, a variable or a default.
func (s *Setting) split(text string) values {
	if !s.Kind.list() {
		return values{text}
	}
	var out values
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
