//! A server that speaks the Hub's API as far as downloads use it, and can be told to fail as the real one does.
