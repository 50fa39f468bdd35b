package expect

import (
	"errors"
	"fmt"
)

// A Speed says how fast the cells that it matches are, as times the speed of fp32 of the same model, provider, runtime
// and threads. A speed is no property of a model alone: it holds for classes of processors.
type Speed struct {
	Conditions

	AtLeast float64 `toml:"at_least"` // × fp32's speed; 0 is no bar
	AtMost  float64 `toml:"at_most"`  // of what is known to be slow: if it is faster, somebody must look

	Why    string `toml:"why"`
	Status Status `toml:"status"`

	File string `toml:"-"`
	Line int    `toml:"-"` // of its [[speed]]
}

// Where is the bar's place, for a message: golden/support.toml:12.
func (s Speed) Where() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// Speeds are all bars of speed of a table.
type Speeds []Speed

// ParseSpeeds reads the bars of speed of a table; name stands in errors and in [Speed].File.
func ParseSpeeds(text []byte, name string) (Speeds, error) {
	file, err := parseFile(text, name)
	if err != nil {
		return nil, err
	}
	lines, err := linesOf(text, name, "speed", len(file.Speed))
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range file.Speed {
		s := &file.Speed[i]
		s.File, s.Line = name, lines[i]
		for _, err := range s.check() {
			errs = append(errs, fmt.Errorf("%s: %w", s.Where(), err))
		}
	}
	return file.Speed, errors.Join(errs...)
}

func (s Speed) check() (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if !isSpeed(s.AtLeast) || !isSpeed(s.AtMost) || s.AtLeast == 0 && s.AtMost == 0 || s.AtMost > 0 && s.AtMost < s.AtLeast {
		add(errors.New("at_least and at_most are times the speed of fp32: give one, or both in order"))
	}
	if len(s.ISA) == 0 {
		add(errors.New("isa must name the classes of processors that the bar holds for"))
	}
	if len(s.Precision) == 0 || s.Precision.Has("fp32") {
		add(errors.New("precision must name others than fp32, which the bar is against"))
	}
	if s.Why == "" {
		add(errors.New("why must tell the reason of the bar"))
	}
	add(s.Status.check())
	add(s.Conditions.check())
	return errs
}

// isSpeed tells of a number that can be times a speed, 0 for none. TOML knows NaN and infinity, and nothing misses a bar of
// those.
func isSpeed(v float64) bool { return v == 0 || v >= 0.001 && v <= 1000 }

// Match finds the bar of a cell, and whether it has one. Two are an error.
func (all Speeds) Match(p Place) (bar Speed, has bool, err error) {
	for _, s := range all {
		if !s.Matches(p) {
			continue
		}
		if has {
			return Speed{}, false, fmt.Errorf("%s on %s: speeds %s and %s are both for this cell; narrow one of them", p.Cell, p.on(), bar.Where(), s.Where())
		}
		bar, has = s, true
	}
	return bar, has, nil
}

// Check holds the bars to all cells that there are: none may have two, and each bar must have a cell, which loads.
func (all Speeds) Check(table Table, places []Place) error {
	var errs []error
	used := map[int]bool{}
	for _, p := range places {
		bar, has, err := all.Match(p)
		if err != nil {
			errs = append(errs, err)
		}
		if row, err := table.Match(p); has && err == nil && row.Finds == People && row.Sometimes == nil {
			used[bar.Line] = true
		}
	}
	for _, s := range all {
		if !used[s.Line] {
			errs = append(errs, fmt.Errorf("%s: the bar is for no cell that loads and finds people; correct or remove it", s.Where()))
		}
	}
	return errors.Join(errs...)
}
