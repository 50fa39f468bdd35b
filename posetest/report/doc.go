// Package report turns what was observed and what was expected into pages for people: a table for a terminal, Markdown
// for a repository, and an HTML file that needs nothing but a browser.
//
//	page := report.Page{Results: results, Missing: notes, Table: table, Before: resultsOfTheReportBefore}
//	page.Text(os.Stdout, report.Style{Width: 160, Color: true})
//	page.Markdown(file)
//	page.HTML(file)
//
// The same results give the same bytes.
package report
