// Package monitoring holds what users copy into their Prometheus and Grafana: scrape jobs, rules, dashboards, adapter values. It
// tells tests and tools which queries the dashboards make. It owns these files and never talks to a server.
package monitoring

import (
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Files are the files of this folder; the dashboards are below dashboards.
//
//go:embed *.yaml dashboards/*.json
var Files embed.FS

// Expression is a PromQL query of a dashboard.
type Expression struct {
	// Board is the dashboard's uid, Panel its panel's title, or "variable" and the name of a variable.
	Board, Panel string
	Query        string
}

// Expressions lists the queries of all dashboards: those of panels, and for each variable the query that lists its values.
// Variables are replaced by their regular expressions, those that are not given by ".+"; rate intervals by a minute.
func Expressions(variables map[string]string) []Expression {
	boards, err := boards()
	if err != nil {
		panic(err) // the files are part of the program, and a test reads them
	}
	var out []Expression
	for _, b := range boards {
		for _, v := range b.Templating.List {
			if q := v.promQL(); q != "" {
				out = append(out, Expression{Board: b.UID, Panel: "variable " + v.Name, Query: fill(q, variables)})
			}
		}
		for _, p := range b.Panels {
			for _, t := range p.Targets {
				out = append(out, Expression{Board: b.UID, Panel: p.Title, Query: fill(t.Expr, variables)})
			}
		}
	}
	return out
}

// board is what is read of a Grafana dashboard.
type board struct {
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID      int    `json:"id"`
	Title   string `json:"title"`
	GridPos struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

type variable struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Query string `json:"query"`
}

func boards() ([]board, error) {
	entries, err := Files.ReadDir("dashboards")
	if err != nil {
		return nil, err
	}
	var out []board
	for _, e := range entries {
		data, err := Files.ReadFile("dashboards/" + e.Name())
		if err != nil {
			return nil, err
		}
		var b board
		if err := json.Unmarshal(data, &b); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		out = append(out, b)
	}
	return out, nil
}

// promQL is the query that gives the values of a variable as labels.
func (v variable) promQL() string {
	inner, ok := strings.CutPrefix(v.Query, "label_values(")
	if !ok || v.Type != "query" {
		return ""
	}
	inner = strings.TrimSuffix(inner, ")")
	i := strings.LastIndex(inner, ",")
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("group by (%s) (%s)", strings.TrimSpace(inner[i+1:]), inner[:i])
}

// fill replaces ${name} and $name, and Grafana's own $__ variables by a minute.
func fill(query string, variables map[string]string) string {
	return regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+))`).ReplaceAllStringFunc(query, func(found string) string {
		name := strings.Trim(found, "${}")
		if strings.HasPrefix(name, "__") {
			return "1m"
		}
		if value, ok := variables[name]; ok {
			return value
		}
		return ".+"
	})
}
