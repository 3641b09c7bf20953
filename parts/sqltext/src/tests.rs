mod dependencies;
mod lexical;
mod shapes;
