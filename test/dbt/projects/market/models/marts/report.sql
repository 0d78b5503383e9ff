{{ config(access='private', group='sales', contract={'enforced': true}) }}
select c.id, c.name from {{ ref('customers', v=1) }} c join {{ ref('countries') }} on true
