mod dependencies;
mod lexical;
