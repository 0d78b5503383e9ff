select h.*, {{ weigh('weight') }} as grams from {{ ref('harvests') }} h
