package posetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/posetest/suite/posetest/diagnose"
	"github.com/posetest/suite/posetest/expect"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/onnx"
	"github.com/posetest/suite/posetest/ortlib"
	"github.com/posetest/suite/posetest/pose"
	"github.com/posetest/suite/posetest/session"
)

// A Diagnosis is what a model file says of itself, and how it will fare in each cell.
type Diagnosis struct {
	File     string         `json:"file"`
	Platform string         `json:"platform"` // "linux/amd64", …
	Model    diagnose.Model `json:"model"`
	Cells    []Diagnosed    `json:"cells"` // in the order of providers, then of the list of runtimes
	Advice   []string       `json:"advice,omitempty"`
}

// A Diagnosed is what is predicted of a cell and, where it ran, observed.
type Diagnosed struct {
	Provider string `json:"provider"`
	ORT      string `json:"ort"`
	diagnose.Prediction
	Observed expect.Class `json:"observed,omitempty"` // "" where it did not run
	Words    string       `json:"observed_message,omitempty"`
	Differs  string       `json:"differs,omitempty"` // in what the prediction is wrong
}

// Diagnose reads a model, and predicts how it will fare on each provider of each known runtime that there is for a platform,
// "" for this machine's. Its error is a sentence on the file.
func Diagnose(path, platform string) (Diagnosis, error) {
	if platform == "" {
		platform = runtime.GOOS + "/" + runtime.GOARCH
	}
	runtimes, err := ortlib.Known()
	if err != nil {
		return Diagnosis{}, err
	}
	g, err := onnx.ReadGraphFile(path)
	if err != nil {
		return Diagnosis{}, err
	}
	d := Diagnosis{File: path, Platform: platform, Model: diagnose.Look(g)}
	var predictions []diagnose.Prediction
	others := slices.DeleteFunc(session.Providers(), func(p string) bool { return p == "cpu" })
	for _, provider := range append([]string{"cpu"}, others...) { // what every build has comes first
		for _, r := range runtimes {
			build, ok := r.Platforms[platform]
			if !ok {
				continue
			}
			p := d.Model.Predict(diagnose.Cell{Provider: provider, Distribution: r.Distribution, Version: r.Version, Platform: platform, Brings: build.Providers})
			predictions = append(predictions, p)
			d.Cells = append(d.Cells, Diagnosed{Provider: provider, ORT: r.ID(), Prediction: p})
		}
	}
	if len(d.Cells) == 0 {
		return d, fmt.Errorf("no runtime is known for %s; choose from %v", platform, platforms(runtimes))
	}
	d.Advice = d.Model.Advice(predictions)
	return d, nil
}

func platforms(runtimes []ortlib.Runtime) []string {
	var all []string
	for _, r := range runtimes {
		for platform := range r.Platforms {
			all = append(all, platform)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Run loads the model on the runtimes and providers that the configuration asks for, lets it look at the photographs, and
// notes beside each prediction what was observed. family says how to read its output; "" finds it out. The error of a model
// of no family, or of a configuration, wraps [ErrSetup].
func (d *Diagnosis) Run(ctx context.Context, cfg Config, family string, log Log) error {
	if family == "" {
		var err error
		if family, err = familyOf(d.Model); err != nil {
			return fmt.Errorf("%w: model %s: %w", ErrSetup, d.File, err)
		}
	}
	cfg.Own = &OwnModel{Path: d.File, Family: family}
	suite := New(cfg)
	plan, err := suite.Plan(ctx, log)
	if err != nil {
		return err
	}
	for _, m := range plan.Missing {
		if len(m.Cells) > 0 {
			fmt.Fprintf(log, "%v\n", m.Err)
		}
	}
	all, err := suite.Run(ctx, plan, func(Planned) {})
	if err != nil {
		return err
	}
	for i, p := range plan.Cells {
		j := slices.IndexFunc(d.Cells, func(c Diagnosed) bool { return c.Provider == p.Provider && c.ORT == p.ORT })
		if j < 0 { // a library of the user's own
			j = len(d.Cells)
			d.Cells = append(d.Cells, Diagnosed{Provider: p.Provider, ORT: p.ORT, Prediction: d.Model.Predict(p.diagnosed(nil))})
		}
		c := &d.Cells[j]
		if p.Lacks != "" {
			c.Prediction = d.Model.Predict(p.diagnosed(nil))
		}
		c.Observed = p.Judge().Classify(all[i])
		if all[i].Failure != nil {
			c.Words = all[i].Failure.Message
		}
		if err := c.Check(c.Observed, all[i], p.Judge().Provider); err != nil {
			c.Differs = err.Error()
		}
	}
	return nil
}

// familyOf is the only family that a model's inputs and outputs are of.
func familyOf(m diagnose.Model) (string, error) {
	var fits []string
	for _, name := range pose.Families() {
		if f, err := pose.Lookup(name); err == nil && f.Check(m.Inputs, m.Outputs) == nil {
			fits = append(fits, name)
		}
	}
	switch len(fits) {
	case 0:
		return "", fmt.Errorf("its inputs and outputs are of no family that posetest knows (%v), so that it can't be run; diagnose it without --run", pose.Families())
	case 1:
		return fits[0], nil
	}
	return "", fmt.Errorf("its inputs and outputs are of several families; name one of %v with --family", fits)
}

// diagnosed is the cell as the rules know it. runtimes are all that are known; of a library of the user's own, which is none
// of them, the providers are those that run.
func (p Planned) diagnosed(runtimes []ortlib.Runtime) diagnose.Cell {
	provider := session.Base(p.Provider)
	c := diagnose.Cell{Provider: provider, Distribution: p.Distribution, Version: p.Version, Platform: p.Platform, Brings: []string{provider}, Lacks: p.Lacks}
	if i := slices.IndexFunc(runtimes, func(r ortlib.Runtime) bool { return r.ID() == p.ORT }); i >= 0 {
		c.Brings = runtimes[i].Platforms[p.Platform].Providers
	}
	return c
}

// TestDiagnose has one sub-test a cell: is what its file alone lets predict what happens? Every cell that the table has
// verified on this platform must have a prediction. It looks at what TestLoad observed.
func (s *Suite) TestDiagnose(t *testing.T) {
	runtimes, err := ortlib.Known()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	models := map[string]diagnose.Model{}
	look := func(path string) (diagnose.Model, error) {
		mu.Lock()
		defer mu.Unlock()
		m, known := models[path]
		if known {
			return m, nil
		}
		g, err := onnx.ReadGraphFile(path)
		if err == nil {
			models[path] = diagnose.Look(g)
		}
		return models[path], err
	}
	s.each(t, facet{user: "diagnose"}, func(t *testing.T, p Planned, o observe.Observation) error {
		m, err := look(p.File.Path)
		if err != nil {
			return err
		}
		prediction := m.Predict(p.diagnosed(runtimes))
		if err := errors.Join(checked(prediction, p), prediction.Check(p.Judge().Classify(o), o, p.Judge().Provider)); err != nil {
			return fmt.Errorf("%w\n%s", err, expect.Describe(o))
		}
		return nil
	})
}

// checked wants a prediction where the table knows what happens.
func checked(prediction diagnose.Prediction, p Planned) error {
	if prediction.Class == diagnose.Unknown && p.Row.Status.Verified(p.Platform) {
		return fmt.Errorf("nothing is predicted (%v), and %s knows what happens; write a rule in posetest/diagnose", prediction.Why, p.Row.Where())
	}
	return nil
}
