//! The page a person reads afterwards: one offline HTML file.
